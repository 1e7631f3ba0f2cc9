import type { ServerDuplexStream } from "@grpc/grpc-js";
import { Failure } from "../failure.ts";
import type { CommandOutcome, Conditions, NodeApi, ProposalResult } from "../node/api.ts";
import { stopped } from "../node/failures.ts";
import { outcomeOf } from "../node/proposal-result.ts";
import { type CallContext, deadlineOnNodeClock, StreamReader, StreamWriter, sendHeaders, wellFormed } from "./calls.ts";
import { conditionsFromWire, someConditions } from "./conditions.ts";
import type { Malformed } from "./definition.ts";
import { type ProposeLimits, refuseCommand } from "./propose.ts";
import { type ItemProposal, type ItemProposals, type ItemResult, MAX_ITEMS_PER_MESSAGE } from "./propose-codec.ts";
import { invalidArgument, type Uint64 } from "./uint64.ts";

/** Items and bytes of a stream that have no answer on the connection yet: at either the server stops reading. */
const MAX_ITEMS_IN_FLIGHT = 4_096;
const MAX_BYTES_IN_FLIGHT = 8 * 1024 * 1024;

/** The commands of one message. A single one may be larger, where the configuration allows it. */
const MAX_MESSAGE_BYTES = 2 * 1024 * 1024;

/** An upper bound of a committed result's bytes. Errors are longer, but rare. */
const RESULT_BYTES = 42;

/** An item that can be proposed. */
interface Accepted {
  readonly item: ItemProposal;
  readonly conditions: Conditions;
}

type Call = ServerDuplexStream<ItemProposals | Malformed, readonly ItemResult[]>;

/** Serves one ProposeStream. */
export function proposeStream(context: CallContext, node: NodeApi, limits: ProposeLimits): (call: Call) => void {
  return (call) => new ProposeStream(context, node, limits, call).start();
}

class ProposeStream {
  readonly #context: CallContext;
  readonly #node: NodeApi;
  readonly #limits: ProposeLimits;
  readonly #call: Call;
  readonly #reader: StreamReader;
  readonly #writer: StreamWriter<readonly ItemResult[]>;
  /** Of the items that have no result yet. */
  readonly #requestIds = new Set<Uint64>();
  /** Of these so many are at the node. */
  #proposed = 0;
  #bytesInFlight = 0;
  #stopOnError = false;
  /** With stop_on_error: an item has failed. */
  #hasStopped = false;
  /** With stop_on_error: what came while items before it have no result. */
  #queue: (readonly ItemProposal[])[] = [];
  /** Results that wait to be written, in one message. */
  #results: ItemResult[] = [];
  #resultBytes = 0;
  #flushScheduled = false;
  /** Set once nothing more is read: how the stream ends when everything is answered. */
  #ending: { readonly failure: Failure | undefined } | undefined;

  constructor(context: CallContext, node: NodeApi, limits: ProposeLimits, call: Call) {
    this.#context = context;
    this.#node = node;
    this.#limits = limits;
    this.#call = call;
    this.#reader = new StreamReader(call);
    this.#writer = new StreamWriter(call, context.translator, () => this.#flush());
  }

  start(): void {
    sendHeaders(this.#call);
    this.#context.streams.add(this.#call, (failure) => this.#endAfterAnswers(failure));
    const stopWatching = this.#node.onApplied(() => this.#maybeDrain());
    this.#call.once("cancelled", stopWatching);
    this.#call.on("data", (request: ItemProposals | Malformed) => this.#onRequest(request));
    this.#call.on("end", () => this.#endAfterAnswers(undefined));
    this.#maybeDrain();
  }

  #maybeDrain(): void {
    if (!this.#node.draining) return;
    this.#endAfterAnswers(new Failure("DRAINING", "this node shuts down; go on with any other"));
  }

  #onRequest(request: ItemProposals | Malformed): void {
    // What was read ahead when the stream began to end is not proposed.
    if (this.#ending !== undefined || this.#writer.ended) return;
    try {
      const { items, stopOnError } = wellFormed(request);
      this.#requireSize(items);
      this.#requireUniqueIds(items);
      this.#stopOnError ||= stopOnError;
      for (const { requestId, command } of items) {
        this.#requestIds.add(requestId);
        this.#bytesInFlight += command.length;
      }
      this.#queue.push(items);
      this.#proposeQueue();
    } catch (error) {
      if (error instanceof Failure) this.#endAfterAnswers(error);
      else this.#writer.fail(error);
    }
    if (this.#full()) this.#reader.pause();
  }

  /** Proposes what came, message by message; with stop_on_error only once everything before has its result. */
  #proposeQueue(): void {
    while (this.#queue.length > 0 && !(this.#stopOnError && this.#proposed > 0)) {
      const items = this.#queue.shift() ?? [];
      this.#propose(items);
    }
  }

  /** Proposes the items of one message as one batch, but those that can't be proposed. */
  #propose(items: readonly ItemProposal[]): void {
    const accepted: Accepted[] = [];
    for (const [i, item] of items.entries()) {
      const conditions = this.#conditionsOf(item, `items[${i}].`);
      if (conditions instanceof Failure) this.#settle(item, this.#stopOnError, conditions);
      else accepted.push({ item, conditions });
    }
    if (accepted.length === 0) return;
    this.#proposed += accepted.length;
    const stopOnError = this.#stopOnError;
    this.#node.propose({
      commands: accepted.map(({ item }) => item.command),
      conditions: someConditions(accepted.map(({ conditions }) => conditions)),
      deadlineMs: deadlineOnNodeClock(this.#call.getDeadline(), this.#context.nowMs),
      ordered: true,
      stopOnError,
      done: (result) => this.#onResult(accepted, stopOnError, result),
    });
  }

  #conditionsOf(item: ItemProposal, path: string): Conditions | Failure {
    if (this.#hasStopped) return stopped();
    const refusal = refuseCommand(item.command, this.#limits.maxCommandBytes, `${path}command`);
    if (refusal !== undefined) return refusal;
    try {
      return conditionsFromWire(item, path);
    } catch (error) {
      if (error instanceof Failure) return error;
      throw error;
    }
  }

  #requireSize(items: readonly ItemProposal[]): void {
    const maxItems = Math.min(MAX_ITEMS_PER_MESSAGE, this.#limits.maxProposals);
    if (items.length < 1 || items.length > maxItems) {
      throw invalidArgument("items", `must be 1 to ${maxItems} a message, are ${items.length}`);
    }
    const maxBytes = Math.min(MAX_MESSAGE_BYTES, this.#limits.maxProposalBytes);
    const bytes = items.reduce((sum, { command }) => sum + command.length, 0);
    if (items.length > 1 && bytes > maxBytes) {
      throw invalidArgument("items", `must have at most ${maxBytes} bytes a message, have ${bytes}`);
    }
  }

  /**
   * A second item of the same id can't be answered: its refusal would be taken for the first one's. So nothing of its
   * message is proposed, and the stream ends.
   */
  #requireUniqueIds(items: readonly ItemProposal[]): void {
    const ids = new Set<Uint64>();
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

  #onResult(accepted: readonly Accepted[], stopOnError: boolean, result: ProposalResult): void {
    if (this.#writer.ended) return;
    this.#proposed -= accepted.length;
    for (const [i, { item }] of accepted.entries()) this.#settle(item, stopOnError, outcomeOf(result, i));
    this.#proposeQueue();
  }

  /** `stopOnError` as it was when the item was sent. */
  #settle({ requestId, command }: ItemProposal, stopOnError: boolean, outcome: CommandOutcome): void {
    this.#requestIds.delete(requestId);
    this.#bytesInFlight -= command.length;
    const isFailure = outcome instanceof Failure;
    if (isFailure && stopOnError) this.#hasStopped = true;
    this.#push({ requestId, outcome }, isFailure ? outcome.message.length : 0);
  }

  #push(result: ItemResult, extraBytes: number): void {
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
      this.#writer.write(results, this.#resultBytes);
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
