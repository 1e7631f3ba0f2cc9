import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  type ChannelOptions,
  Client,
  type ClientUnaryCall,
  credentials,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { ClusterService } from "../../gen/raft/v1/cluster_pb.js";
import { LogService } from "../../gen/raft/v1/log_pb.js";
import { assert } from "../assert.ts";
import type { ProposalId } from "../raft/types.ts";
import { CallFailure } from "./call-failure.ts";
import { conditionsToWire } from "./conditions.ts";
import { methodDefinition } from "./definition.ts";
import { ProposalStream, type ProposalStreamEvents } from "./proposal-stream.ts";
import {
  type NewSnapshot,
  putSnapshot,
  type SnapshotSource,
  type SnapshotView,
  snapshotView,
} from "./snapshot-client.ts";
import { indexFromWire, termFromWire, toWire } from "./uint64.ts";
import {
  type EntryView,
  entryView,
  type MemberView,
  memberView,
  type NodeView,
  nodeView,
  type SubscriberView,
  subscriberView,
  type VerifiedView,
  verifiedView,
} from "./views.ts";

/** One command, and with what it is proposed. `expectedTerm` 0 is any. */
export interface Proposal {
  readonly command: Uint8Array;
  readonly id: ProposalId | undefined;
  readonly expectedTerm: number;
}

export interface ProposalAnswer {
  readonly index: number;
  readonly term: number;
  readonly duplicate: boolean;
}

/** A frame of an ApplyStream. */
export type ApplyFrame =
  | { readonly kind: "header"; readonly nodeId: string; readonly logId: Uint8Array; readonly last: number }
  | { readonly kind: "batch"; readonly last: number; readonly entries: readonly EntryView[] }
  | { readonly kind: "progress"; readonly index: number };

/** Where an ApplyStream starts. `afterTerm` 0 and an empty `logId` check nothing. */
export type ApplyStart =
  | { readonly kind: "after"; readonly index: number; readonly afterTerm: number; readonly logId: Uint8Array }
  | { readonly kind: "tail" };

/** A node answers every stream at once, with a header or with what there is. */
const FIRST_MESSAGE_MS = 5_000;

const CHANNEL_OPTIONS: ChannelOptions = {
  "grpc.enable_http_proxy": 0,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // A node that hangs, or whose machine is gone, says nothing: its streams are ended after a while.
  "grpc.keepalive_time_ms": 5_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.max_receive_message_length": 8 * 1024 * 1024,
};

/** One node's client listener, as the command line uses it. Failed calls reject with a `CallFailure`. */
export class SidecarClient {
  readonly address: string;
  readonly #client: Client;
  readonly #unaryCalls = new Set<ClientUnaryCall>();

  /** `address` is host:port, or unix:PATH. Dials with the first call. */
  constructor(address: string) {
    this.address = address;
    this.#client = new Client(address, credentials.createInsecure(), CHANNEL_OPTIONS);
  }

  async status(timeoutMs: number): Promise<NodeView> {
    return nodeView(await this.#unary(ClusterService.method.getStatus, {}, timeoutMs));
  }

  /** The index of the first entry that the node retains then. */
  async compact(keepEntries: number | undefined, timeoutMs: number): Promise<number> {
    const request = keepEntries === undefined ? {} : { keepEntries: toWire(keepEntries) };
    const { firstIndex } = await this.#unary(ClusterService.method.compact, request, timeoutMs);
    return indexFromWire(firstIndex, "firstIndex");
  }

  /** Has the node read its entries from `first` to `last`, and its newest snapshot. Ends once it has. */
  async verify(first: number, last: number): Promise<VerifiedView> {
    const range = { startIndex: toWire(first), endIndex: toWire(last) };
    let found: VerifiedView | undefined;
    for await (const { part } of this.#stream(ClusterService.method.verifyLog, range)) {
      if (part.case === "result") found = verifiedView(part.value);
    }
    assert(found !== undefined, "VerifyLog ends with a result");
    return found;
  }

  async subscribers(timeoutMs: number): Promise<SubscriberView[]> {
    const { subscribers } = await this.#unary(ClusterService.method.listSubscribers, {}, timeoutMs);
    return subscribers.map(subscriberView);
  }

  async removeSubscriber(name: string, timeoutMs: number): Promise<void> {
    await this.#unary(ClusterService.method.removeSubscriber, { name }, timeoutMs);
  }

  async members(timeoutMs: number): Promise<MemberView[]> {
    const response = await this.#unary(ClusterService.method.listMembers, {}, timeoutMs);
    return response.members.map(memberView);
  }

  /** A failure other than one with our ErrorInfo leaves the outcome unknown. */
  async propose({ command, id, expectedTerm }: Proposal, timeoutMs: number): Promise<ProposalAnswer> {
    const request = { command, ...conditionsToWire({ id, expectedTerm }) };
    const { index, term, duplicate } = await this.#unary(LogService.method.propose, request, timeoutMs);
    return { index: indexFromWire(index, "index"), term: termFromWire(term, "term"), duplicate };
  }

  /** `close` does not end it. */
  proposeStream(events: ProposalStreamEvents): ProposalStream {
    return new ProposalStream(this.#client, events);
  }

  /** Inclusive; 0 for the first and the last of the log. */
  async *readLog(from: number, to: number): AsyncGenerator<{ commit: number; entries: EntryView[] }> {
    const range = { startIndex: toWire(from), endIndex: toWire(to) };
    for await (const message of this.#stream(ClusterService.method.readLog, range)) {
      yield { commit: indexFromWire(message.commitIndex, "commitIndex"), entries: message.entries.map(entryView) };
    }
  }

  /** Ends only by an error, or when the caller stops reading. */
  async *apply(start: ApplyStart): AsyncGenerator<ApplyFrame> {
    const request =
      start.kind === "tail"
        ? { start: { case: "tail", value: true } as const }
        : {
            start: { case: "afterIndex", value: toWire(start.index) } as const,
            afterTerm: toWire(start.afterTerm),
            logId: start.logId,
          };
    for await (const { frame } of this.#stream(LogService.method.applyStream, request)) {
      if (frame.case === "header") {
        const { nodeId, logId, lastIndex } = frame.value;
        yield { kind: "header", nodeId, logId, last: indexFromWire(lastIndex, "lastIndex") };
      } else if (frame.case === "batch") {
        yield {
          kind: "batch",
          last: indexFromWire(frame.value.lastIndex, "lastIndex"),
          entries: frame.value.entries.map(entryView),
        };
      } else if (frame.case === "progress") {
        yield { kind: "progress", index: indexFromWire(frame.value.index, "index") };
      }
    }
  }

  putSnapshot(snapshot: NewSnapshot, source: SnapshotSource): Promise<SnapshotView> {
    return putSnapshot(this.#client, snapshot, source);
  }

  /** The newest snapshot that the node has in one of the formats, in any when there are none: what it is, then its bytes. */
  async *getSnapshot(formats: readonly string[]): AsyncGenerator<SnapshotView | Uint8Array> {
    for await (const { part } of this.#stream(LogService.method.getSnapshot, { formats: [...formats] })) {
      if (part.case === "header") yield snapshotView(part.value);
      else if (part.case === "chunk") yield part.value;
    }
  }

  /** Unary calls that are under way end with CANCELLED. */
  close(): void {
    for (const call of this.#unaryCalls) call.cancel();
    this.#client.close();
  }

  #unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    timeoutMs: number,
  ): Promise<MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create(method.input, request),
        { deadline: Date.now() + timeoutMs },
        (error, response) => {
          this.#unaryCalls.delete(call);
          if (error === null) resolve(response as MessageShape<O>);
          else reject(new CallFailure(error));
        },
      );
      this.#unaryCalls.add(call);
    });
  }

  async *#stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
  ): AsyncGenerator<MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const argument = create(method.input, request);
    const call = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, argument);
    // Leaving the loop destroys the stream without a word to the server; cancelling it then reports CANCELLED to nobody.
    call.on("error", () => {});
    // The keepalive begins with the connection's first word. Before it, a node that hangs is waited for by nobody else.
    const silence = setTimeout(() => {
      call.call?.cancelWithStatus(status.DEADLINE_EXCEEDED, `no answer within ${FIRST_MESSAGE_MS} ms`);
    }, FIRST_MESSAGE_MS);
    try {
      for await (const message of call) {
        clearTimeout(silence);
        yield message as MessageShape<O>;
      }
    } catch (error) {
      throw isServiceError(error) ? new CallFailure(error) : error;
    } finally {
      clearTimeout(silence);
      call.cancel();
    }
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}
