import { create } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import {
  type ProposeItem,
  ProposeResponseSchema,
  type ProposeResult,
  ProposeResultSchema,
  type ProposeStreamRequest,
  type ProposeStreamResponse,
  ProposeStreamResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import { Failure } from "../failure.ts";
import type { NodeApi, ProposalResult } from "../node/api.ts";
import { type CallContext, deadlineOnNodeClock, StreamReader, StreamWriter, sendHeaders, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { refuseCommand } from "./propose.ts";
import { toProposeError } from "./propose-error.ts";
import { invalidArgument, toWire } from "./uint64.ts";

/** Items and bytes of a stream that have no answer on the connection yet: at either the server stops reading. */
const MAX_ITEMS_IN_FLIGHT = 4_096;
const MAX_BYTES_IN_FLIGHT = 8 * 1024 * 1024;

const MAX_ITEMS_PER_MESSAGE = 4_096;

/** The commands of one message. A single one may be larger, where the configuration allows it. */
const MAX_MESSAGE_BYTES = 2 * 1024 * 1024;

/** An upper bound of a committed result's bytes. Errors are longer, but rare. */
const RESULT_BYTES = 40;

type Call = ServerDuplexStream<ProposeStreamRequest | Malformed, ProposeStreamResponse>;

/** Serves one ProposeStream. */
export function proposeStream(context: CallContext, node: NodeApi, maxCommandBytes: number): (call: Call) => void {
  return (call) => new ProposeStream(context, node, maxCommandBytes, call).start();
}

class ProposeStream {
  readonly #context: CallContext;
  readonly #node: NodeApi;
  readonly #maxCommandBytes: number;
  readonly #call: Call;
  readonly #reader: StreamReader;
  readonly #writer: StreamWriter<ProposeStreamResponse>;
  readonly #requestIds = new Set<bigint>();
  #bytesInFlight = 0;
  /** Results that wait to be written, in one message. */
  #results: ProposeResult[] = [];
  #resultBytes = 0;
  #flushScheduled = false;
  /** Set once nothing more is read: how the stream ends when everything is answered. */
  #ending: { readonly failure: Failure | undefined } | undefined;

  constructor(context: CallContext, node: NodeApi, maxCommandBytes: number, call: Call) {
    this.#context = context;
    this.#node = node;
    this.#maxCommandBytes = maxCommandBytes;
    this.#call = call;
    this.#reader = new StreamReader(call);
    this.#writer = new StreamWriter(call, context.translator, () => this.#flush());
  }

  start(): void {
    sendHeaders(this.#call);
    this.#context.streams.add(this.#call, (failure) => this.#endAfterAnswers(failure));
    const stopWatching = this.#node.onApplied(() => this.#maybeDrain());
    this.#call.once("cancelled", stopWatching);
    this.#call.on("data", (request: ProposeStreamRequest | Malformed) => this.#onRequest(request));
    this.#call.on("end", () => this.#endAfterAnswers(undefined));
    this.#maybeDrain();
  }

  #maybeDrain(): void {
    if (!this.#node.draining) return;
    this.#endAfterAnswers(new Failure("DRAINING", "this node shuts down; go on with any other"));
  }

  #onRequest(request: ProposeStreamRequest | Malformed): void {
    // What was read ahead when the stream began to end is not proposed.
    if (this.#ending !== undefined || this.#writer.ended) return;
    try {
      const { items } = wellFormed(request);
      if (items.length < 1 || items.length > MAX_ITEMS_PER_MESSAGE) {
        throw invalidArgument("items", `must be 1 to ${MAX_ITEMS_PER_MESSAGE} a message, are ${items.length}`);
      }
      const bytes = items.reduce((sum, { command }) => sum + command.length, 0);
      if (items.length > 1 && bytes > MAX_MESSAGE_BYTES) {
        throw invalidArgument("items", `must have at most ${MAX_MESSAGE_BYTES} bytes a message, have ${bytes}`);
      }
      this.#requireUniqueIds(items);
      this.#propose(items);
    } catch (error) {
      if (error instanceof Failure) this.#endAfterAnswers(error);
      else this.#writer.fail(error);
    }
    if (this.#full()) this.#reader.pause();
  }

  /** Proposes the items of one message as one batch, but those that can't be proposed. */
  #propose(items: readonly ProposeItem[]): void {
    const accepted: ProposeItem[] = [];
    let bytes = 0;
    for (const [i, item] of items.entries()) {
      const refusal = refuseCommand(item.command, this.#maxCommandBytes, `items[${i}].command`);
      if (refusal !== undefined) {
        this.#push(failed(item.requestId, refusal), 0);
        continue;
      }
      this.#requestIds.add(item.requestId);
      bytes += item.command.length;
      accepted.push(item);
    }
    if (accepted.length === 0) return;
    this.#bytesInFlight += bytes;
    this.#node.propose({
      commands: accepted.map((item) => item.command),
      deadlineMs: deadlineOnNodeClock(this.#call.getDeadline(), this.#context.nowMs),
      ordered: true,
      done: (result) => this.#onResult(accepted, bytes, result),
    });
  }

  /**
   * A second item of the same id can't be answered: its refusal would be taken for the first one's. So nothing of its
   * message is proposed, and the stream ends.
   */
  #requireUniqueIds(items: readonly ProposeItem[]): void {
    const ids = new Set<bigint>();
    for (const [i, { requestId }] of items.entries()) {
      if (ids.has(requestId) || this.#requestIds.has(requestId)) {
        throw invalidArgument(
          `items[${i}].request_id`,
          `must be unique among the items in flight, ${requestId} is not`,
        );
      }
      ids.add(requestId);
    }
  }

  #onResult(items: readonly ProposeItem[], bytes: number, result: ProposalResult): void {
    if (this.#writer.ended) return;
    this.#bytesInFlight -= bytes;
    for (const [i, { requestId }] of items.entries()) {
      this.#requestIds.delete(requestId);
      if (result.kind === "failed") this.#push(failed(requestId, result.failure), result.failure.message.length);
      else this.#push(committed(requestId, result.first.index + i, result.first.term), 0);
    }
  }

  #push(result: ProposeResult, extraBytes: number): void {
    this.#results.push(result);
    this.#resultBytes += RESULT_BYTES + extraBytes;
    if (this.#flushScheduled) return;
    // Everything that completes in this turn goes in one message.
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#writer.ended) return;
    if (this.#results.length > 0 && this.#writer.ready) {
      const results = this.#results;
      this.#results = [];
      this.#writer.write(create(ProposeStreamResponseSchema, { results }), this.#resultBytes);
      this.#resultBytes = 0;
    }
    this.#maybeEnd();
    if (this.#ending === undefined && !this.#full()) this.#reader.resume();
  }

  /** Results that the client does not take count as in flight. */
  #full(): boolean {
    return (
      this.#requestIds.size + this.#results.length >= MAX_ITEMS_IN_FLIGHT || this.#bytesInFlight >= MAX_BYTES_IN_FLIGHT
    );
  }

  #endAfterAnswers(failure: Failure | undefined): void {
    if (this.#ending !== undefined) return;
    this.#ending = { failure };
    this.#maybeEnd();
  }

  #maybeEnd(): void {
    if (this.#ending === undefined || this.#requestIds.size > 0 || this.#results.length > 0) return;
    if (this.#ending.failure === undefined) this.#writer.end();
    else this.#writer.fail(this.#ending.failure);
  }
}

function committed(requestId: bigint, index: number, term: number): ProposeResult {
  const value = create(ProposeResponseSchema, { index: toWire(index), term: toWire(term) });
  return create(ProposeResultSchema, { requestId, outcome: { case: "committed", value } });
}

function failed(requestId: bigint, failure: Failure): ProposeResult {
  return create(ProposeResultSchema, { requestId, outcome: { case: "error", value: toProposeError(failure) } });
}
