import { assert } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import type { Subscription } from "../../src/session/cursor-table.ts";
import type { Host, Process } from "./host.ts";
import { Subscriber } from "./subscriber.ts";
import type { World } from "./world.ts";

const ACKNOWLEDGE_MS = 400;
const MOVE_MS = 4_000;
const OPEN_AGAIN_MS = 300;

/** What a call may fail with while there is trouble. */
const EXPECTED = new Set(
  ["NO_LEADER", "NOT_APPENDED", "OUTCOME_UNKNOWN", "OVERLOADED", "DRAINING", "DATA_LOSS", "SUBSCRIBER_REPLACED"].concat(
    "TERM_CHANGED",
    "NOT_LEADER",
  ),
);

/**
 * A subscriber whose place the cluster remembers: it starts anew on any node, from what it has acknowledged, and holds the
 * cluster to that: never before what was acknowledged, never beyond what it has applied.
 */
export class DurableSubscriber {
  readonly #world: World;
  readonly #name: string;
  readonly #subscriber: Subscriber;
  #opened: Subscription | undefined;
  #process: Process | undefined;
  /** The highest index that was answered with OK, by the stream of which generation. */
  #acknowledged = { cursor: 0, generation: 0 };
  /** The highest index that it ever sent. */
  #sent = 0;
  #isStopped = false;

  constructor(world: World, name: string) {
    this.#world = world;
    this.#name = name;
    this.#subscriber = new Subscriber(world, name);
    this.#regularly(ACKNOWLEDGE_MS, () => this.#acknowledge());
    this.#regularly(MOVE_MS, () => this.#open(this.#world.random.clients.pick(this.#world.hosts)));
    this.#open(this.#world.random.clients.pick(this.#world.hosts));
  }

  /** It opens and acknowledges nothing any more. */
  stop(): void {
    this.#isStopped = true;
  }

  #regularly(meanMs: number, act: () => void): void {
    this.#world.scheduler.in(this.#world.random.clients.interval(meanMs), () => {
      if (this.#isStopped) return;
      act();
      this.#regularly(meanMs, act);
    });
  }

  #open(host: Host): void {
    const { process } = host;
    this.#opened = undefined;
    this.#subscriber.leave();
    const again = (): void => {
      this.#world.scheduler.in(OPEN_AGAIN_MS, () => {
        if (!this.#isStopped && this.#opened === undefined)
          this.#open(this.#world.random.clients.pick(this.#world.hosts));
      });
    };
    if (process === undefined) return again();
    process.run(() => {
      process.node.subscriptions.open(this.#name, 0, (opened) => {
        if (!process.mayAct()) return again();
        this.#world.guard(() => this.#onOpened(process, opened));
        if (opened instanceof Failure) again();
      });
    });
  }

  #onOpened(process: Process, opened: Subscription | Failure): void {
    if (opened instanceof Failure) return this.#expect(opened);
    // It is answered in the middle of a turn.
    this.#world.properties.afterTurn(process.seen);
    const { cursor, generation } = opened;
    const acknowledged = this.#acknowledged;
    // A node that lags may tell late of a stream that a newer one has replaced by now.
    const isNewest = generation > acknowledged.generation;
    assert(
      !isNewest || cursor >= acknowledged.cursor,
      `${this.#name} acknowledged ${acknowledged.cursor}, and is to start after ${cursor}`,
    );
    assert(cursor <= this.#sent, `${this.#name} has sent ${this.#sent} at most, and is to start after ${cursor}`);
    this.#world.counters.add("subscribers opened");
    const replaced = this.#opened;
    this.#opened = opened;
    this.#process = process;
    this.#subscriber.startAt(cursor);
    if (this.#subscriber.subscribe(process.host) && replaced !== undefined) this.#acknowledgeAs(replaced, process);
    process.node.subscriptions.watch(opened, () => {
      this.#world.counters.add("subscribers replaced");
      if (this.#opened === opened) this.#subscriber.leave();
    });
  }

  #acknowledge(): void {
    if (this.#opened !== undefined && this.#process !== undefined) this.#acknowledgeAs(this.#opened, this.#process);
  }

  /** Also as a stream that was replaced: that must change nothing (PITFALL 60). */
  #acknowledgeAs({ name, generation }: Subscription, process: Process): void {
    const cursor = this.#subscriber.position;
    if (cursor === 0 || !process.isAlive) return;
    this.#sent = Math.max(this.#sent, cursor);
    process.run(() => {
      process.node.subscriptions.acknowledge({ name, generation, cursor }, (result) => {
        if (!process.mayAct()) return;
        this.#world.guard(() => {
          if (result instanceof Failure) return this.#expect(result);
          assert(result.cursor >= cursor, `${cursor} is acknowledged, and remembered is ${result.cursor}`);
          if (cursor > this.#acknowledged.cursor) this.#acknowledged = { cursor, generation };
          this.#world.counters.add("acknowledgements");
        });
      });
    });
  }

  #expect(failure: Failure): void {
    this.#world.counters.add(`subscribers ${failure.reason}`);
    assert(EXPECTED.has(failure.reason), `${this.#name} is refused with ${failure.reason}: ${failure.message}`);
  }
}
