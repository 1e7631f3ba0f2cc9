import { assert } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import type { ProposalResult, ReadIndexResult } from "../../src/node/api.ts";
import { outcomeOf } from "../../src/node/proposal-result.ts";
import { type History, type Input, NOT_APPENDED, type Operation } from "./history.ts";
import type { Process } from "./host.ts";
import { Retries } from "./retries.ts";
import { apply, type Service } from "./service.ts";
import { EVENTS } from "./trace.ts";
import type { World } from "./world.ts";

export interface Workload {
  /** How many clients there are; each has any number of calls open. */
  readonly clients: number;
  readonly keys: number;
  /** Of all clients together. */
  readonly callsPerSecond: number;
  readonly reads: number;
  readonly compareAndSets: number;
  /** The chance that a call is a batch of several commands. */
  readonly batches: number;
  /** The chance that a write is repeated, at any node, until it is acknowledged. */
  readonly retries: number;
  /** The chance that a write shall be appended in the term of now only. */
  readonly fences: number;
  /** The chance that a call has a deadline of its own. */
  readonly deadlines: number;
  readonly maxCommandBytes: number;
  /** Calls without an answer, at which no further ones are made. */
  readonly maxOpen: number;
}

const MAX_BATCH = 5;

/** Those who call the services beside the nodes, at all nodes, and remember what they were told. */
export class Clients {
  readonly history: History;
  readonly #world: World;
  readonly #workload: Workload;
  readonly #services: readonly Service[];
  /** Calls without an answer, by the process that owes it. */
  readonly #open = new Map<Process, Set<Operation>>();
  /** What one caller proposed in order at one process; what commits of it must be in that order. */
  readonly #ordered: { readonly process: Process; readonly operations: Operation[] }[] = [];
  /** Those that have reached a node and have no answer of it: while it stands still, calls wait outside. */
  readonly #asked = new Set<Operation>();
  readonly #retries: Retries;
  #isStopped = false;

  constructor(world: World, workload: Workload, history: History, services: readonly Service[]) {
    this.#world = world;
    this.#workload = workload;
    this.history = history;
    this.#services = services;
    this.#retries = new Retries(world, history, workload.fences);
    this.#callAfterAWhile();
  }

  get open(): number {
    let open = this.#retries.open;
    for (const operations of this.#open.values()) open += operations.size;
    return open;
  }

  /** The calls without an answer, for people. */
  describeOpen(): string {
    const calls = [...this.#open].flatMap(([{ host }, operations]) =>
      [...operations].map(
        ({ id, input }) =>
          `${input.kind} ${id} at ${host.id}, whose service has ${this.#services[host.index]?.position}`,
      ),
    );
    return [...calls, ...this.#retries.describeOpen()].join(", ");
  }

  get services(): readonly Service[] {
    return this.#services;
  }

  get ordered(): readonly { readonly operations: readonly Operation[] }[] {
    return this.#ordered;
  }

  stop(): void {
    this.#isStopped = true;
  }

  #callAfterAWhile(): void {
    const { clients } = this.#world.random;
    this.#world.scheduler.in(clients.interval(1_000 / this.#workload.callsPerSecond), () => {
      if (this.#isStopped) return;
      this.#call();
      this.#callAfterAWhile();
    });
  }

  #call(): void {
    const { clients } = this.#world.random;
    const service = clients.pick(this.#services);
    const client = clients.below(this.#workload.clients);
    const inputs = this.#draw();
    const { process } = service.host;
    if (process === undefined || this.open >= this.#workload.maxOpen) return;
    const operations = inputs.map((input) => this.history.call(client, input));
    for (const operation of operations) {
      this.#world.trace.note(EVENTS.called, operation.id, this.#world.nowMs);
      this.#say(operation, () => `calls ${service.host.id}: ${describe(operation.input)}`);
    }
    const [first] = operations;
    assert(first !== undefined, "a call has an operation");
    if (operations.length === 1 && first.input.kind !== "read" && clients.chance(this.#workload.retries)) {
      return this.#retries.start(first, clients.below(this.#workload.maxCommandBytes));
    }
    const deadlineMs = clients.chance(this.#workload.deadlines)
      ? service.host.clock.nowMs + clients.between(1, 2_000)
      : undefined;
    this.#expect(process, operations);
    if (first.input.kind === "read") this.#read(process, service, first, deadlineMs);
    else this.#propose(process, operations, deadlineMs, client === 0);
  }

  #draw(): Input[] {
    const { clients } = this.#world.random;
    const { keys, reads, compareAndSets, batches } = this.#workload;
    const key = `k${clients.below(keys)}`;
    const value = (): string => `${this.#world.nowMs.toFixed(3)}/${clients.below(1_000)}`;
    if (clients.chance(reads)) return [{ kind: "read", key }];
    if (clients.chance(compareAndSets)) {
      // What somebody wrote not long ago, so that some of them succeed.
      const expected = this.#services[clients.below(this.#services.length)]?.values.get(key) ?? "";
      return [{ kind: "compareAndSet", key, expected, value: value() }];
    }
    const count = clients.chance(batches) ? 2 + clients.below(MAX_BATCH - 1) : 1;
    return Array.from({ length: count }, () => ({ kind: "write", key: `k${clients.below(keys)}`, value: value() }));
  }

  #propose(process: Process, operations: Operation[], deadlineMs: number | undefined, ordered: boolean): void {
    const bytes = this.#world.random.clients.below(this.#workload.maxCommandBytes);
    const commands = operations.map((operation) => this.history.commandOf(operation, bytes));
    if (ordered) this.#noteOrder(process, operations);
    const { clients } = this.#world.random;
    const isFenced = clients.chance(this.#workload.fences);
    const stopOnError = clients.chance(this.#workload.fences);
    /** Of one command the term is the one after. */
    const misfit = stopOnError ? clients.below(commands.length + 1) : commands.length;
    process.run(() => {
      for (const operation of operations) this.#asked.add(operation);
      const { term } = process.node.state();
      const terms = commands.map((_, i) => (i === misfit ? term + 1 : isFenced ? term : 0));
      process.node.propose({
        commands,
        conditions: terms.some((each) => each > 0)
          ? terms.map((expectedTerm) => ({ id: undefined, expectedTerm }))
          : undefined,
        stopOnError,
        deadlineMs,
        ordered,
        done: (result) => {
          if (!process.mayAct()) return;
          this.#world.guard(() => {
            this.#onProposed(process, operations, result, terms);
            if (stopOnError) this.#requireStopped(result, operations.length);
          });
        },
      });
    });
  }

  /** Nothing is appended after a command that was refused. */
  #requireStopped(result: ProposalResult, count: number): void {
    const areRefused = Array.from({ length: count }, (_, i) => outcomeOf(result, i) instanceof Failure);
    const first = areRefused.indexOf(true);
    if (first < 0) return;
    assert(!areRefused.includes(false, first), "a command is appended after one that was refused");
    if (first < count - 1 && first > 0) this.#world.counters.add("batches stopped");
  }

  #onProposed(
    process: Process,
    operations: readonly Operation[],
    result: ProposalResult,
    terms: readonly number[],
  ): void {
    for (const operation of operations) this.#asked.delete(operation);
    this.#answered(process, operations);
    this.#world.properties.afterTurn(process.seen);
    for (const [i, operation] of operations.entries()) {
      const outcome = outcomeOf(result, i);
      if (outcome instanceof Failure) {
        const { reason } = outcome;
        this.#world.counters.add(`answers ${reason}`);
        assert(reason === "OUTCOME_UNKNOWN" || NOT_APPENDED.has(reason), `a proposal is answered with ${reason}`);
        this.#end(operation, reason === "OUTCOME_UNKNOWN" ? "unknown" : "absent", reason);
      } else {
        const { index, term } = outcome;
        const committed = this.#world.properties.committedTermAt(index);
        assert(committed === term, `${index}/${term} is acknowledged, committed is term ${committed}`);
        const { [i]: expected = 0 } = terms;
        assert(expected === 0 || term === expected, `it was to be in term ${expected}, and is in ${term}`);
        operation.index = index;
        this.#end(operation, "acknowledged", `committed at ${index}`);
      }
    }
  }

  #read(process: Process, service: Service, operation: Operation, deadlineMs: number | undefined): void {
    process.run(() => {
      this.#asked.add(operation);
      process.node.readIndex(deadlineMs, (result) => {
        if (process.mayAct()) this.#world.guard(() => this.#onBarrier(process, service, operation, result));
      });
    });
  }

  #onBarrier(process: Process, service: Service, operation: Operation, result: ReadIndexResult): void {
    assert(this.#asked.delete(operation), `the barrier of operation ${operation.id} is answered twice`);
    if (result.kind === "failed") {
      this.#answered(process, [operation]);
      this.#world.counters.add(`answers ${result.failure.reason}`);
      return this.#end(operation, "absent", result.failure.reason);
    }
    service.whenApplied(result.index, () => {
      // The process may have ended meanwhile, and with it the call.
      if (operation.outcome !== "pending") return;
      this.#answered(process, [operation]);
      operation.output = apply(service.values, operation.input);
      operation.index = service.position;
      const { value } = { value: "", ...operation.output };
      this.#end(operation, "acknowledged", `"${value}", behind a barrier at ${result.index}`);
    });
  }

  #say({ id, client }: Operation, line: () => string): void {
    this.#world.trace.say(this.#world.nowMs, () => `client ${client}, operation ${id}, ${line()}`);
  }

  #end(operation: Operation, outcome: Operation["outcome"], why: string): void {
    this.history.end(operation, outcome);
    this.#world.trace.note(EVENTS.answered, operation.id, why.length);
    this.#say(operation, () => `is told: ${why}`);
  }

  /** One answer is due from `process`, or none at all should it end first. */
  #expect(process: Process, operations: readonly Operation[]): void {
    let open = this.#open.get(process);
    if (open === undefined) {
      open = new Set();
      this.#open.set(process, open);
      process.onStopped(() => this.#onProcessStopped(process));
      process.onEnd(() => this.#onProcessEnded(process));
    }
    for (const operation of operations) open.add(operation);
  }

  #answered(process: Process, operations: readonly Operation[]): void {
    const open = this.#open.get(process);
    for (const operation of operations) {
      assert(open?.delete(operation) === true, `operation ${operation.id} is answered twice`);
    }
  }

  #onProcessStopped(process: Process): void {
    for (const operation of this.#open.get(process) ?? []) {
      // A read that has its barrier may wait for the service.
      const isOwed = this.#asked.has(operation);
      assert(!isOwed, `operation ${operation.id} has no answer, and ${process.host.id} ended as it should`);
    }
  }

  #onProcessEnded(process: Process): void {
    for (const operation of this.#open.get(process) ?? []) {
      this.#end(operation, operation.input.kind === "read" ? "absent" : "unknown", "nothing any more");
    }
    this.#open.delete(process);
  }

  #noteOrder(process: Process, operations: readonly Operation[]): void {
    const latest = this.#ordered.findLast((stream) => stream.process === process);
    if (latest === undefined) this.#ordered.push({ process, operations: [...operations] });
    else latest.operations.push(...operations);
  }
}

function describe(input: Input): string {
  switch (input.kind) {
    case "read":
      return `reads ${input.key}`;
    case "write":
      return `writes ${input.key} = ${input.value}`;
    case "compareAndSet":
      return `writes ${input.key} = ${input.value} if it is "${input.expected}"`;
  }
}
