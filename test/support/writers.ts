import { status } from "@grpc/grpc-js";
import type { ProposeStreamResponse } from "../../gen/raft/v1/log_pb.js";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import { fromProposeError } from "../../src/grpc/propose-error.ts";
import { type EntryId, type LogEntry, proposeItems, type TestClient } from "./client.ts";
import { sleep, until } from "./wait.ts";

/** What the client of one command knows of it. */
export type Outcome =
  | { readonly kind: "acknowledged"; readonly at: EntryId }
  /** The answer says that it is not in the log. */
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "unknown"; readonly why: string };

const STREAM_ITEMS_IN_FLIGHT = 32;
const STREAM_ITEMS_PER_MESSAGE = 4;
const PAUSE_MS = 3;
/** A node that is down, or has no leader, isn't asked without end. */
const PAUSE_AFTER_FAILURE_MS = 20;

/** What all writers know of their commands. Each command is sent once, so it is in the log at most once. */
export class History {
  readonly outcomes = new Map<string, Outcome | undefined>();
  /** For each ProposeStream the acknowledged indexes, in the order of sending. */
  readonly streams: (number | undefined)[][] = [];
  #acknowledged = 0;
  #lastAcknowledged: EntryId = { index: 0, term: 0 };

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** The acknowledged command with the highest index. */
  get last(): EntryId {
    return this.#lastAcknowledged;
  }

  count(kind: Outcome["kind"]): number {
    return [...this.outcomes.values()].filter((outcome) => outcome?.kind === kind).length;
  }

  /** How often each reason was given. */
  reasons(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const outcome of this.outcomes.values()) {
      const name = outcome?.kind === "refused" ? outcome.reason : outcome?.kind === "unknown" ? outcome.why : undefined;
      if (name !== undefined) counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  sent(command: string): void {
    if (this.outcomes.has(command)) throw new Error(`${command} was sent before`);
    this.outcomes.set(command, undefined);
  }

  answered(command: string, outcome: Outcome): void {
    this.outcomes.set(command, outcome);
    if (outcome.kind !== "acknowledged") return;
    this.#acknowledged++;
    if (outcome.at.index > this.#lastAcknowledged.index) this.#lastAcknowledged = outcome.at;
  }

  /** Waits until `count` more commands are acknowledged. */
  async progress(count: number): Promise<void> {
    const goal = this.#acknowledged + count;
    await until(
      () => `${goal} commands are acknowledged, ${this.#acknowledged} are: ${JSON.stringify(this.reasons())}`,
      () => this.#acknowledged >= goal,
    );
  }

  /** How `log`, all that was committed, contradicts what the writers were told. Empty when it doesn't. */
  contradictions(log: readonly LogEntry[]): string[] {
    const found: string[] = [];
    const byCommand = new Map<string, LogEntry>();
    for (const entry of log) {
      if (!this.outcomes.has(entry.command)) found.push(`${entry.command} was never sent`);
      if (byCommand.has(entry.command)) found.push(`${entry.command} is there twice`);
      byCommand.set(entry.command, entry);
    }
    for (const [command, outcome] of this.outcomes) {
      const entry = byCommand.get(command);
      if (outcome === undefined) found.push(`${command} has no answer`);
      if (outcome?.kind === "refused" && entry !== undefined) {
        found.push(`${command} was refused with ${outcome.reason} and is at ${entry.index}`);
      }
      if (outcome?.kind === "acknowledged" && (entry?.index !== outcome.at.index || entry.term !== outcome.at.term)) {
        found.push(`${command} was acknowledged at ${JSON.stringify(outcome.at)} and is ${JSON.stringify(entry)}`);
      }
    }
    return [...found, ...this.#outOfOrder()];
  }

  #outOfOrder(): string[] {
    return this.streams.flatMap((indexes) => {
      const known = indexes.filter((index) => index !== undefined);
      const sorted = known.toSorted((a, b) => a - b);
      return known.every((index, i) => index === sorted[i]) ? [] : [`a stream's items are out of order: ${known}`];
    });
  }
}

/** Writers through all nodes, which go on over every failure until they are stopped. */
export class Writers {
  readonly history: History;
  readonly #clients: readonly TestClient[];
  readonly #running: Promise<void>[] = [];
  #stopped = false;

  constructor(
    clients: readonly TestClient[],
    { unary, streams, history = new History() }: { unary: number; streams: number; history?: History },
  ) {
    this.#clients = clients;
    this.history = history;
    for (let i = 0; i < unary; i++) this.#running.push(this.#writeUnary(`u${i}`, i));
    for (let i = 0; i < streams; i++) this.#running.push(this.#writeStreams(`s${i}`, i));
    // They end by themselves when a failed test closes their clients; `stop` tells of everything else.
    for (const writer of this.#running) writer.catch(() => {});
  }

  /** Waits for the answer to everything that was sent. */
  async stop(): Promise<History> {
    this.#stopped = true;
    await Promise.all(this.#running);
    return this.history;
  }

  #client(turn: number): TestClient {
    const client = this.#clients[turn % this.#clients.length];
    if (client === undefined) throw new Error("writers need a client");
    return client;
  }

  async #writeUnary(name: string, first: number): Promise<void> {
    for (let n = 0; !this.#stopped; n++) {
      const outcome = await this.#proposeOnce(this.#client(first + n), `${name}-${n}`);
      await sleep(outcome.kind === "acknowledged" ? PAUSE_MS : PAUSE_AFTER_FAILURE_MS);
    }
  }

  async #proposeOnce(client: TestClient, command: string): Promise<Outcome> {
    this.history.sent(command);
    const outcome = await client.propose(command).then(
      (at): Outcome => ({ kind: "acknowledged", at }),
      (error): Outcome => outcomeOf(error),
    );
    this.history.answered(command, outcome);
    return outcome;
  }

  async #writeStreams(name: string, first: number): Promise<void> {
    for (let stream = 0; !this.#stopped; stream++) {
      await this.#writeStream(`${name}.${stream}`, this.#client(first + stream));
      await sleep(PAUSE_AFTER_FAILURE_MS);
    }
  }

  /** Until the stream ends. Its items are then all answered; what the server left open is unknown. */
  async #writeStream(name: string, client: TestClient): Promise<void> {
    const open = new Map<number, string>();
    const indexes: (number | undefined)[] = [];
    this.history.streams.push(indexes);
    const call = client.proposeStream();
    let ended = false;
    const end = new Promise<void>((resolve) => {
      call.on("status", ({ code, details }) => {
        ended = true;
        const why = `stream ended with ${status[code]} ${details}`;
        for (const command of open.values()) this.history.answered(command, { kind: "unknown", why });
        resolve();
      });
    });
    call.on("error", () => {});
    call.on("data", ({ results }: ProposeStreamResponse) => {
      for (const { requestId, outcome } of results) {
        const id = Number(requestId);
        const command = open.get(id);
        if (command === undefined) throw new Error(`an answer to the unknown request ${id}`);
        open.delete(id);
        const known = itemOutcome(outcome);
        if (known.kind === "acknowledged") indexes[id] = known.at.index;
        this.history.answered(command, known);
      }
    });
    for (let id = 0; !ended && !this.#stopped; ) {
      if (open.size <= STREAM_ITEMS_IN_FLIGHT - STREAM_ITEMS_PER_MESSAGE) {
        const items = Array.from({ length: STREAM_ITEMS_PER_MESSAGE }, () => {
          const requestId = id++;
          return { requestId, command: `${name}-${requestId}` };
        });
        for (const { requestId, command } of items) {
          this.history.sent(command);
          open.set(requestId, command);
        }
        call.write(proposeItems(items));
      }
      await sleep(PAUSE_MS);
    }
    call.end();
    await end;
  }
}

/** What the failure of a call says of its command. */
export function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof CallFailure)) throw error;
  const { failure, code, message } = error;
  if (failure === undefined) return { kind: "unknown", why: `${code} ${message}` };
  return isDefinite(failure.reason)
    ? { kind: "refused", reason: failure.reason }
    : { kind: "unknown", why: failure.reason };
}

function itemOutcome(outcome: ProposeStreamResponse["results"][number]["outcome"]): Outcome {
  switch (outcome.case) {
    case "committed": {
      const { index, term } = outcome.value;
      return { kind: "acknowledged", at: { index: Number(index), term: Number(term) } };
    }
    case "error": {
      const { reason } = fromProposeError(outcome.value);
      return isDefinite(reason) ? { kind: "refused", reason } : { kind: "unknown", why: reason };
    }
    default:
      throw new Error("an item without an outcome");
  }
}

/** Every reason of ours but this one says that the command was not appended. */
function isDefinite(reason: string): boolean {
  return reason !== "OUTCOME_UNKNOWN";
}
