import { assert, unreachable } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import { type History, type Input, UNSET } from "./history.ts";
import type { Host, Process } from "./host.ts";
import type { KeyValueOutput } from "./linearizability/models.ts";
import { Subscriber } from "./subscriber.ts";
import type { World } from "./world.ts";

/** What a command does to a state, as every replica does it. */
export function apply(values: Map<string, string>, input: Input): KeyValueOutput {
  const before = values.get(input.key) ?? UNSET;
  switch (input.kind) {
    case "read":
      return { kind: "found", value: before };
    case "write":
      values.set(input.key, input.value);
      return { kind: "done" };
    case "compareAndSet":
      if (before !== input.expected) return { kind: "mismatch" };
      values.set(input.key, input.value);
      return { kind: "done" };
    default:
      return unreachable(input);
  }
}

/** When services put snapshots. */
export interface SnapshotHabit {
  /** From one to the next, on one service. */
  readonly everyEntries: number;
  /** So long a state takes at most until it is put: its node goes on meanwhile. */
  readonly maxLateMs: number;
}

/** The key-value service beside one node. State and position are one: they survive the machine's crashes together. */
export class Service {
  readonly host: Host;
  readonly values = new Map<string, string>();
  readonly #world: World;
  readonly #subscriber: Subscriber;
  readonly #snapshots: SnapshotHabit;
  /** Where the state was when it was last taken for a snapshot. */
  #takenAt = 0;
  #waiting: { readonly index: number; readonly then: () => void }[] = [];

  constructor(world: World, history: History, host: Host, snapshots: SnapshotHabit) {
    this.host = host;
    this.#subscriber = new Subscriber(
      world,
      `the service of ${host.id}`,
      (index, entry) => apply(this.values, history.at(index, entry).input),
      (position) => this.#onPosition(position),
      ({ sha256 }) => {
        this.values.clear();
        for (const [key, value] of world.shelf.contents(sha256)) this.values.set(key, value);
      },
    );
    this.#world = world;
    this.#snapshots = snapshots;
  }

  get position(): number {
    return this.#subscriber.position;
  }

  /** A process has started beside it. */
  onStart(): void {
    const { directory, mounted } = this.host;
    assert(
      mounted !== directory || directory.log.lastIndex >= this.position,
      `${this.host.id} comes back with less log than its service has applied`,
    );
    this.#subscriber.subscribe(this.host);
  }

  /** Calls `then` once everything to `index` is applied. */
  whenApplied(index: number, then: () => void): void {
    if (this.position >= index) then();
    else this.#waiting.push({ index, then });
  }

  #onPosition(position: number): void {
    this.#maybeSnapshot(position);
    if (this.#waiting.length === 0) return;
    const due = this.#waiting.filter(({ index }) => index <= position);
    this.#waiting = this.#waiting.filter(({ index }) => index > position);
    for (const { then } of due) then();
  }

  #maybeSnapshot(position: number): void {
    const { everyEntries, maxLateMs } = this.#snapshots;
    if (position - this.#takenAt < everyEntries) return;
    this.#takenAt = position;
    const values = new Map(this.values);
    const { scheduler, random } = this.#world;
    scheduler.in(random.clients.between(0, maxLateMs), () => {
      const { process } = this.host;
      process?.run(() => this.#put(process, position, values));
    });
  }

  #put(process: Process, index: number, values: ReadonlyMap<string, string>): void {
    const { counters } = this.#world;
    try {
      const last = process.node.snapshots.check(index, this.#world.properties.committedTermAt(index) ?? 0);
      const snapshot = this.#world.shelf.put(process, last, values);
      process.node.snapshots.add(snapshot, (result) => {
        if (result instanceof Error) snapshot.discard();
        const reason = result instanceof Failure ? result.reason : "";
        this.#world.guard(() => {
          const isExpected = ["", "SNAPSHOT_OUTDATED", "DISK_LOW", "DRAINING", "DATA_LOSS"].includes(reason);
          assert(!(result instanceof Error) || isExpected, `a snapshot at ${index} is refused: ${result}`);
        });
        counters.add(result instanceof Error ? `snapshots ${reason}` : "snapshots put");
        if (index < process.node.state().applied) counters.add("snapshots put late");
      });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const isExpected = error.reason === "SNAPSHOT_OUTDATED" || error.reason === "SNAPSHOT_AHEAD";
      this.#world.guard(() => assert(isExpected, `a snapshot at ${index} is refused: ${error.message}`));
      counters.add(`snapshots ${error.reason}`);
    }
  }
}
