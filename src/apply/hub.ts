import type { Clock } from "../clock.ts";
import { Failure } from "../failure.ts";
import { BatchReader, type EncodeBatch } from "./batch-reader.ts";
import type { CommittedLog } from "./committed-log.ts";
import { Cursor, type Sink, type Start } from "./cursor.ts";
import type { SnapshotSource } from "./snapshot-source.ts";

export interface HubOptions {
  readonly log: CommittedLog;
  readonly encode: EncodeBatch;
  readonly snapshots: SnapshotSource;
  readonly clock: Clock;
  /** How many subscribers are served at a time. */
  readonly maxSubscribers: number;
  /** How often an idle subscriber hears how far it is. */
  readonly progressIntervalMs: number;
}

/** All subscribers of this node. Wakes them when there is more to deliver; none waits for another. */
export class ApplyHub {
  readonly #options: HubOptions;
  readonly #reader: BatchReader;
  readonly #cursors = new Set<Cursor>();
  readonly #unsubscribe: () => void;
  #cancelTick: () => void = () => {};

  constructor(options: HubOptions) {
    this.#options = options;
    this.#reader = new BatchReader(options.log, options.encode);
    this.#unsubscribe = options.log.onApplied(() => {
      for (const cursor of this.#cursors) cursor.wake();
    });
    this.#tickRegularly();
  }

  get subscribers(): number {
    return this.#cursors.size;
  }

  /** Why no further subscriber is taken. */
  refusal(): Failure | undefined {
    if (this.#options.log.draining) return new Failure("DRAINING", "this node shuts down; subscribe on any other");
    const { maxSubscribers } = this.#options;
    if (this.#cursors.size < maxSubscribers) return undefined;
    return new Failure("OVERLOADED", `this node serves ${maxSubscribers} ApplyStreams already`, {
      metadata: { limit: String(maxSubscribers) },
      retryAfterMs: 1_000,
    });
  }

  /** Takes a subscriber. Its `wake` starts the delivery; `remove` ends it. */
  add(start: Start, sink: Sink): Cursor {
    const cursor = new Cursor(this.#options.log, this.#reader, this.#options.snapshots, start, sink);
    this.#cursors.add(cursor);
    return cursor;
  }

  remove(cursor: Cursor): void {
    cursor.close();
    this.#cursors.delete(cursor);
  }

  close(): void {
    this.#unsubscribe();
    this.#cancelTick();
    for (const cursor of this.#cursors) this.remove(cursor);
  }

  #tickRegularly(): void {
    this.#cancelTick = this.#options.clock.setTimer(this.#options.progressIntervalMs, () => {
      this.#tickRegularly();
      for (const cursor of this.#cursors) {
        cursor.tick();
        cursor.endStalled(this.#options.clock.nowMs());
      }
    });
  }
}
