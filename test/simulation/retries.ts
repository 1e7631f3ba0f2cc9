import { assert } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import type { CommandOutcome } from "../../src/node/api.ts";
import { outcomeOf } from "../../src/node/proposal-result.ts";
import type { ProposalId } from "../../src/raft/types.ts";
import { type History, NOT_APPENDED, type Operation } from "./history.ts";
import type { Process } from "./host.ts";
import { EVENTS } from "./trace.ts";
import type { World } from "./world.ts";

/** How long after a try has failed, or was given up, the next one is made at the most. */
const MAX_DELAY_MS = 800;
/** After this long without an answer a try is given up, and another node is tried. Its answer may still come. */
const MAX_PATIENCE_MS = 3_000;

interface Retry {
  readonly operation: Operation;
  readonly id: ProposalId;
  readonly bytes: number;
  /** 0 for any. */
  expectedTerm: number;
  tries: number;
  /** Tries that have certainly appended nothing. */
  refused: number;
}

/** One proposal of a retry at one process, which owes one answer. */
interface Try {
  readonly retry: Retry;
  readonly number: number;
}

/** Those who repeat a write with the same client id and sequence, at any node, until it is acknowledged. */
export class Retries {
  readonly #world: World;
  readonly #history: History;
  readonly #fences: number;
  readonly #open = new Set<Retry>();
  readonly #owed = new Map<Process, Set<Try>>();
  readonly #sequences = new Map<number, number>();

  /** `fences` is the chance that a write shall be appended in one term only. */
  constructor(world: World, history: History, fences: number) {
    this.#world = world;
    this.#history = history;
    this.#fences = fences;
  }

  get open(): number {
    let tries = 0;
    for (const owed of this.#owed.values()) tries += owed.size;
    return Math.max(this.#open.size, tries);
  }

  describeOpen(): string[] {
    return [...this.#open].map(
      ({ operation, tries }) => `${operation.input.kind} ${operation.id}, tried ${tries} times`,
    );
  }

  start(operation: Operation, bytes: number): void {
    const { clients } = this.#world.random;
    const sequence = (this.#sequences.get(operation.client) ?? 0) + 1 + clients.below(2);
    this.#sequences.set(operation.client, sequence);
    const id = { clientId: `client-${operation.client}`, sequence };
    const expectedTerm = clients.chance(this.#fences) ? Math.max(...this.#world.processes.map(termOf)) : 0;
    const retry: Retry = { operation, id, bytes, expectedTerm, tries: 0, refused: 0 };
    this.#open.add(retry);
    this.#try(retry);
  }

  #try(retry: Retry): void {
    if (!this.#open.has(retry)) return;
    const { clients } = this.#world.random;
    const { processes } = this.#world;
    if (processes.length === 0) return this.#tryLater(retry, 0);
    const process = clients.pick(processes);
    const one: Try = { retry, number: ++retry.tries };
    if (one.number > 1) this.#world.counters.add("retries");
    this.#say(retry, () => `tries ${process.host.id}, with sequence ${retry.id.sequence}`);
    const command = this.#history.commandOf(retry.operation, retry.bytes);
    process.run(() => {
      this.#owe(process, one);
      process.node.propose({
        commands: [command],
        conditions: [{ id: retry.id, expectedTerm: retry.expectedTerm }],
        deadlineMs: undefined,
        ordered: clients.chance(0.2),
        done: (result) => {
          if (process.mayAct()) this.#world.guard(() => this.#onOutcome(one, process, outcomeOf(result, 0)));
        },
      });
    });
    this.#world.scheduler.in(clients.between(50, MAX_PATIENCE_MS), () => {
      if (retry.tries === one.number) this.#try(retry);
    });
  }

  #tryLater(retry: Retry, number: number): void {
    this.#world.scheduler.in(this.#world.random.clients.between(0, MAX_DELAY_MS), () => {
      if (retry.tries === number || number === 0) this.#try(retry);
    });
  }

  /** One answer is due from `process`, or none should it end first. */
  #owe(process: Process, one: Try): void {
    let owed = this.#owed.get(process);
    if (owed === undefined) {
      owed = new Set();
      this.#owed.set(process, owed);
      process.onStopped(() => {
        const left = this.#owed.get(process)?.size ?? 0;
        assert(left === 0, `${left} retries have no answer, and ${process.host.id} ended as it should`);
      });
      process.onEnd(() => this.#owed.delete(process));
    }
    owed.add(one);
  }

  #onOutcome(one: Try, process: Process, outcome: CommandOutcome): void {
    const { retry, number } = one;
    const { operation } = retry;
    assert(this.#owed.get(process)?.delete(one) === true, `try ${number} of ${operation.id} is answered twice`);
    this.#world.properties.afterTurn(process.seen);
    if (!(outcome instanceof Failure)) return this.#onPlaced(retry, outcome);
    const { reason } = outcome;
    this.#world.counters.add(`answers ${reason}`);
    if (reason === "SEQUENCE_TOO_OLD") return this.#end(retry, "unknown", reason);
    assert(reason === "OUTCOME_UNKNOWN" || NOT_APPENDED.has(reason), `a retry is answered with ${reason}`);
    if (NOT_APPENDED.has(reason)) retry.refused++;
    if (reason === "TERM_CHANGED") {
      // No term comes back. What no try has appended is absent, and nobody tries again.
      return this.#end(retry, retry.refused === retry.tries ? "absent" : "unknown", reason);
    }
    if (retry.tries === number) this.#tryLater(retry, number);
  }

  #onPlaced(retry: Retry, { index, term, duplicate }: Exclude<CommandOutcome, Failure>): void {
    const { operation, tries, refused, expectedTerm } = retry;
    const committed = this.#world.properties.committedTermAt(index);
    assert(committed === term, `${index}/${term} is acknowledged to a retry, committed is term ${committed}`);
    assert(operation.index === 0 || operation.index === index, `a retry is at ${index}, and at ${operation.index}`);
    assert(expectedTerm === 0 || term === expectedTerm, `a retry was to be in term ${expectedTerm}, and is in ${term}`);
    assert(!duplicate || tries - refused > 1, `operation ${operation.id} is a duplicate, and all before was refused`);
    if (duplicate) this.#world.counters.add("duplicates recognised");
    operation.index = index;
    this.#end(retry, "acknowledged", `committed at ${index}${duplicate ? ", a duplicate" : ""}`);
  }

  #end(retry: Retry, outcome: "acknowledged" | "absent" | "unknown", why: string): void {
    if (!this.#open.delete(retry)) return;
    this.#history.end(retry.operation, outcome);
    this.#world.trace.note(EVENTS.answered, retry.operation.id, why.length);
    this.#say(retry, () => `is told: ${why}`);
  }

  #say({ operation: { client, id } }: Retry, line: () => string): void {
    this.#world.trace.say(this.#world.nowMs, () => `client ${client}, operation ${id}, ${line()}`);
  }
}

function termOf({ node }: Process): number {
  return node.state().term;
}
