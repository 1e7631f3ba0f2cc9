import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Client, type ClientDuplexStream, type ClientReadableStream, credentials } from "@grpc/grpc-js";
import {
  ClusterService,
  type GetStatusResponse,
  type Member,
  type ReadLogResponse,
} from "../../gen/raft/v1/cluster_pb.js";
import {
  type AcknowledgeRequestSchema,
  type ApplyStreamRequestSchema,
  type ApplyStreamResponse,
  EntryType,
  LogService,
  type ProposeStreamRequest,
  ProposeStreamRequestSchema,
  type ProposeStreamResponse,
  Role,
  type WatchStateResponse,
} from "../../gen/raft/v1/log_pb.js";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import { methodDefinition } from "../../src/grpc/definition.ts";
import type { ProposalId } from "../../src/raft/types.ts";

const CALL_TIMEOUT_MS = 10_000;

export interface EntryId {
  readonly index: number;
  readonly term: number;
}

/** Where a proposal with an id stands. */
export interface Placed extends EntryId {
  readonly duplicate: boolean;
}

export interface LogEntry extends EntryId {
  readonly command: string;
}

export interface NodeState {
  readonly id: string;
  readonly term: number;
  readonly isLeader: boolean;
  /** "" when not known. */
  readonly leader: string;
  readonly commit: number;
  readonly applied: number;
  readonly last: number;
}

/** One node's client listener, as an application uses it. Calls that fail reject with a `CallFailure`. */
export class TestClient {
  readonly address: string;
  readonly #client: Client;

  constructor(address: string) {
    this.address = address;
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_http_proxy": 0,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 250,
    });
  }

  async propose(command: string, timeoutMs = CALL_TIMEOUT_MS): Promise<EntryId> {
    const { index, term } = await this.#unary(LogService.method.propose, { command: Buffer.from(command) }, timeoutMs);
    return { index: Number(index), term: Number(term) };
  }

  /** With an id, which makes a retry safe. */
  async proposeAs(id: ProposalId, command: string, timeoutMs = CALL_TIMEOUT_MS): Promise<Placed> {
    const request = { command: Buffer.from(command), clientId: id.clientId, sequence: BigInt(id.sequence) };
    const { index, term, duplicate } = await this.#unary(LogService.method.propose, request, timeoutMs);
    return { index: Number(index), term: Number(term), duplicate };
  }

  async readIndex(timeoutMs = CALL_TIMEOUT_MS): Promise<EntryId> {
    const { index, term } = await this.#unary(LogService.method.readIndex, {}, timeoutMs);
    return { index: Number(index), term: Number(term) };
  }

  /** Undefined when there is no answer: the node is down. */
  async state(timeoutMs = 2_000): Promise<NodeState | undefined> {
    try {
      const state = await this.#unary(LogService.method.getState, {}, timeoutMs);
      return {
        id: state.id,
        term: Number(state.term),
        isLeader: state.role === Role.LEADER,
        leader: state.leaderId,
        commit: Number(state.commitIndex),
        applied: Number(state.appliedIndex),
        last: Number(state.lastIndex),
      };
    } catch (error) {
      if (error instanceof CallFailure && error.unreachable) return undefined;
      throw error;
    }
  }

  status(timeoutMs = CALL_TIMEOUT_MS): Promise<GetStatusResponse> {
    return this.#unary(ClusterService.method.getStatus, {}, timeoutMs);
  }

  /** A durable subscriber's. Returns its cursor. */
  async acknowledge(request: MessageInitShape<typeof AcknowledgeRequestSchema>, timeoutMs = CALL_TIMEOUT_MS) {
    return Number((await this.#unary(LogService.method.acknowledge, request, timeoutMs)).cursor);
  }

  /** The durable subscribers' cursors by their names, as far as this node has applied the log. */
  async cursors(): Promise<Record<string, number>> {
    const { subscribers } = await this.#unary(ClusterService.method.listSubscribers, {}, CALL_TIMEOUT_MS);
    return Object.fromEntries(subscribers.map(({ name, cursor }) => [name, Number(cursor)]));
  }

  /** The commands of this node's own log, not yet committed ones included. */
  async readLog(from = 0): Promise<LogEntry[]> {
    const stream = this.#serverStream(ClusterService.method.readLog, { startIndex: BigInt(from) });
    const entries: LogEntry[] = [];
    for await (const message of stream) entries.push(...message.entries.filter(isCommand).map(toLogEntry));
    return entries;
  }

  /** The whole log, as it comes. */
  readLogStream(): ClientReadableStream<ReadLogResponse> {
    return this.#serverStream(ClusterService.method.readLog, {});
  }

  async members(): Promise<readonly Member[]> {
    return (await this.#unary(ClusterService.method.listMembers, {}, CALL_TIMEOUT_MS)).members;
  }

  /** The caller listens to "error", and ends the stream by `cancel`. */
  apply(request: MessageInitShape<typeof ApplyStreamRequestSchema>): ClientReadableStream<ApplyStreamResponse> {
    return this.#serverStream(LogService.method.applyStream, request);
  }

  /** As `apply`. */
  watch(): ClientReadableStream<WatchStateResponse> {
    return this.#serverStream(LogService.method.watchState, {});
  }

  /** As `apply`. */
  proposeStream(): ClientDuplexStream<ProposeStreamRequest, ProposeStreamResponse> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(LogService.method.proposeStream);
    return this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => ProposeStreamResponse,
    );
  }

  close(): void {
    this.#client.close();
  }

  #unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    timeoutMs: number,
  ): Promise<MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method satisfies DescMethod);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create(method.input, request),
        { deadline: Date.now() + timeoutMs },
        (error, response) => (error === null ? resolve(response as MessageShape<O>) : reject(new CallFailure(error))),
      );
    });
  }

  #serverStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
  ): ClientReadableStream<MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method satisfies DescMethod);
    return this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize as (bytes: Buffer) => MessageShape<O>,
      create(method.input, request),
    );
  }
}

export interface ProposedItem {
  readonly requestId: number;
  readonly command: string;
  readonly id?: ProposalId;
}

/** One message of a ProposeStream. */
export function proposeItems(items: readonly ProposedItem[]): ProposeStreamRequest {
  return create(ProposeStreamRequestSchema, {
    items: items.map(({ requestId, command, id }) => ({
      requestId: BigInt(requestId),
      command: Buffer.from(command),
      clientId: id?.clientId ?? "",
      sequence: BigInt(id?.sequence ?? 0),
    })),
  });
}

/** The failure of a call that has to fail. */
export async function failureOf(call: Promise<unknown>): Promise<CallFailure> {
  try {
    await call;
  } catch (error) {
    if (error instanceof CallFailure) return error;
    throw error;
  }
  throw new Error("the call succeeded");
}

interface WireEntry {
  readonly index: bigint;
  readonly term: bigint;
  readonly type: EntryType;
  readonly command: Uint8Array;
}

export function toLogEntry({ index, term, command }: WireEntry): LogEntry {
  return { index: Number(index), term: Number(term), command: Buffer.from(command).toString() };
}

function isCommand({ type }: WireEntry): boolean {
  return type === EntryType.COMMAND;
}
