import { assert } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import { decodeEntries } from "../../src/frame/codec.ts";
import type { Frame } from "../../src/raft/types.ts";
import type { Host, Process } from "../simulation/host.ts";
import { Subscriber } from "../simulation/subscriber.ts";
import type { World } from "../simulation/world.ts";

/** So long a service takes at most until its state is put: its node goes on meanwhile. */
const MAX_LATE_MS = 20;

/** Which services put snapshots, and after how many entries each. */
export interface SnapshotHabit {
  readonly everyEntries: number;
  readonly isMadeBy: (host: Host) => boolean;
}

/** The commands that a service has applied, by their indexes as text. */
type State = Map<string, string>;

/**
 * One service beside each node, which applies what the node's hub delivers. It keeps nothing: it ends with its node, and
 * is told everything again, or given a snapshot. That what is told is the same each time, to everybody, is what Subscriber
 * asserts; of snapshots it is asserted here.
 */
export class Services {
  snapshots: SnapshotHabit | undefined;
  readonly #world: World;
  readonly #subscribers = new Map<Host, Subscriber>();
  /** What any service has ever applied. */
  readonly #commands = new Map<number, string>();
  readonly #indexes = new Map<string, number[]>();

  constructor(world: World) {
    this.#world = world;
    world.onStart(({ host }) => this.#onStart(host));
  }

  /** Where `command` was applied: more than once when it was proposed again. */
  indexesOf(command: string): readonly number[] {
    return this.#indexes.get(command) ?? [];
  }

  /** All commands, in the order of the log. */
  get log(): readonly string[] {
    return [...this.#commands].sort(([a], [b]) => a - b).map(([, command]) => command);
  }

  /** How many services have applied the entry at `index`. */
  count(index: number): number {
    return this.#world.hosts.filter((host) => this.positionOf(host) >= index).length;
  }

  /** The first index at which at least `services` have applied `command`. */
  agreedOn(command: string, services: number): number | undefined {
    return this.indexesOf(command).find((index) => this.count(index) >= services);
  }

  /** To where the service beside `host` has applied the log; 0 when none runs. */
  positionOf(host: Host): number {
    const subscriber = this.#subscribers.get(host);
    return subscriber?.process === undefined ? 0 : subscriber.position;
  }

  #onStart(host: Host): void {
    const state: State = new Map();
    let takenAt = 0;
    const subscriber = new Subscriber(
      this.#world,
      `the service of ${host.id}`,
      (index, entry) => this.#onCommand(state, index, entry),
      (position) => {
        const { snapshots } = this;
        if (snapshots === undefined || !snapshots.isMadeBy(host) || position - takenAt < snapshots.everyEntries) return;
        takenAt = position;
        this.#putLater(host, position, new Map(state));
      },
      ({ last, sha256 }) => {
        takenAt = last.index;
        this.#restore(state, last.index, this.#world.shelf.contents(sha256));
      },
    );
    this.#subscribers.set(host, subscriber);
    subscriber.subscribe(host);
  }

  #onCommand(state: State, index: number, entry: Frame): void {
    const command = Buffer.from(decodeEntries(entry.bytes)[0]?.command ?? []).toString();
    state.set(String(index), command);
    if (this.#commands.has(index)) return;
    this.#commands.set(index, command);
    this.#indexes.set(command, [...this.indexesOf(command), index]);
  }

  /** A snapshot stands for all commands to its entry, each where it was applied, and for nothing else. */
  #restore(state: State, index: number, contents: ReadonlyMap<string, string>): void {
    const expected = [...this.#commands].filter(([at]) => at <= index);
    assert(
      contents.size === expected.length,
      `a snapshot at ${index} has ${contents.size} of ${expected.length} commands`,
    );
    state.clear();
    for (const [at, command] of expected) {
      assert(contents.get(String(at)) === command, `a snapshot at ${index} has another command at ${at}`);
      state.set(String(at), command);
    }
  }

  #putLater(host: Host, index: number, state: State): void {
    const { scheduler, random } = this.#world;
    const { process } = host;
    scheduler.in(random.clients.between(0, MAX_LATE_MS), () => process?.run(() => this.#put(process, index, state)));
  }

  /** It may have come too late: another one, as new, is there already. */
  #put(process: Process, index: number, state: State): void {
    const { counters, shelf } = this.#world;
    const failed = (error: unknown): void => {
      const isExpected = error instanceof Failure && ["SNAPSHOT_OUTDATED", "DRAINING"].includes(error.reason);
      this.#world.guard(() => assert(isExpected, `a snapshot at ${index} is refused: ${error}`));
    };
    try {
      const last = process.node.snapshots.check(index, 0);
      process.node.snapshots.add(shelf.put(process, last, state), (result) => {
        if (result instanceof Error) failed(result);
        else counters.add("snapshots put");
      });
    } catch (error) {
      failed(error);
    }
  }
}
