import { assert } from "../assert.ts";
import { Failure } from "../failure.ts";
import { EntryType, type Frame } from "../raft/types.ts";
import type { CommittedLog } from "./committed-log.ts";

/** The part (prev, last] of the log, ready to be sent. */
export interface Batch {
  readonly prev: number;
  readonly last: number;
  /** The commands in it, encoded; undefined when all its entries are internal. */
  readonly encoded: Buffer | undefined;
}

/** Encodes the commands of (prev, last]. */
export type EncodeBatch = (prev: number, last: number, frames: readonly Frame[]) => Buffer;

/** How much of the log is read at a time, in bytes; a single larger entry is read whole. */
const MAX_READ_BYTES = 1024 * 1024;

/** How many bytes of batches are kept for subscribers that come to the same place. */
const MAX_CACHE_BYTES = 8 * 1024 * 1024;

/** What keeping a batch costs beside its bytes. */
const BATCH_OVERHEAD_BYTES = 200;

type Waiter = (result: Batch | Failure) => void;

/**
 * Reads and encodes batches once for all subscribers: those that are up to date ask for the same one at the same time.
 * What is committed doesn't change, so a batch is good for ever; the oldest are let go first.
 */
export class BatchReader {
  readonly #log: CommittedLog;
  readonly #encode: EncodeBatch;
  /** By `prev`. */
  readonly #cache = new Map<number, Batch>();
  #cachedBytes = 0;
  /** The reads in progress, by `prev`. */
  readonly #reading = new Map<number, Waiter[]>();

  constructor(log: CommittedLog, encode: EncodeBatch) {
    this.#log = log;
    this.#encode = encode;
  }

  /** The batch after `prev`, which is below `applied`. May call back at once. */
  read(prev: number, done: Waiter): void {
    const cached = this.#cache.get(prev);
    if (cached !== undefined) return done(cached);
    const reading = this.#reading.get(prev);
    if (reading !== undefined) {
      reading.push(done);
      return;
    }
    const waiters = [done];
    this.#reading.set(prev, waiters);
    const last = this.#log.state().applied;
    assert(prev < last, `a batch after ${prev} was asked for, but only ${last} is applied`);
    this.#log.readLog(prev + 1, last, MAX_READ_BYTES, (result) => {
      this.#reading.delete(prev);
      const batch = result instanceof Failure ? result : this.#keep(this.#toBatch(prev, last, result));
      for (const waiter of waiters) waiter(batch);
    });
  }

  #toBatch(prev: number, applied: number, frames: readonly Frame[]): Batch {
    let last = prev;
    for (const frame of frames) {
      assert(frame.first === last + 1, `the log was read with a gap: ${frame.first} follows ${last}`);
      last = frame.last;
    }
    assert(prev < last && last <= applied, `(${prev}, ${last}] was read of a log applied to ${applied}`);
    const commands = frames.filter((frame) => frame.type === EntryType.command);
    return { prev, last, encoded: commands.length === 0 ? undefined : this.#encode(prev, last, commands) };
  }

  #keep(batch: Batch): Batch {
    this.#cache.set(batch.prev, batch);
    this.#cachedBytes += sizeOf(batch);
    for (const oldest of this.#cache.values()) {
      if (this.#cachedBytes <= MAX_CACHE_BYTES) break;
      this.#cache.delete(oldest.prev);
      this.#cachedBytes -= sizeOf(oldest);
    }
    return batch;
  }
}

function sizeOf(batch: Batch): number {
  return BATCH_OVERHEAD_BYTES + (batch.encoded?.length ?? 0);
}
