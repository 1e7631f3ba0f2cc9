import { assert } from "../assert.ts";
import { Failure } from "../failure.ts";
import type { Raft } from "../raft/raft.ts";
import type { Frame } from "../raft/types.ts";
import type { Storage } from "../storage/storage.ts";
import { readLog } from "./log-reader.ts";
import type { LogTables, TakenHooks } from "./log-tables.ts";

/** What one turn takes in of a log that the tables lag behind. */
const MAX_BYTES_PER_TURN = 512 * 1024;

export interface FollowerHooks extends TakenHooks {
  /** Called when there may be more to follow. */
  readonly onProgress: () => void;
  /** Called with each frame once it is taken in. */
  readonly onFrame?: (frame: Frame) => void;
}

/** Brings the tables up to a later entry of the log, some of it in each turn. */
export class SessionFollower {
  readonly tables: LogTables;
  readonly #raft: Raft;
  readonly #storage: Storage;
  readonly #hooks: FollowerHooks;
  #index: number;
  #isReading = false;
  #isStopped = false;

  /** `tables` are as of `index`. */
  constructor(raft: Raft, storage: Storage, tables: LogTables, index: number, hooks: FollowerHooks) {
    this.#raft = raft;
    this.#storage = storage;
    this.tables = tables;
    this.#index = index;
    this.#hooks = hooks;
  }

  /** The tables are those of the log up to here. */
  get index(): number {
    return this.#index;
  }

  /**
   * Goes on towards `upTo`, which is committed and durable here. False when the log begins too late for that: it was replaced
   * by a snapshot, or cut off.
   */
  follow(upTo: number): boolean {
    if (this.#index + 1 < this.#raft.log.firstIndex) return false;
    if (this.#isReading || this.#index >= upTo) return true;
    this.#isReading = true;
    readLog(this.#raft, this.#storage, this.#index + 1, upTo, MAX_BYTES_PER_TURN, (frames) => {
      this.#isReading = false;
      if (this.#isStopped) return;
      if (!(frames instanceof Failure)) for (const frame of frames) this.#take(frame);
      this.#hooks.onProgress();
    });
    return true;
  }

  /** What is still being read changes nothing any more. */
  stop(): void {
    this.#isStopped = true;
  }

  #take(frame: Frame): void {
    assert(frame.first === this.#index + 1, `the tables go from ${this.#index} on to ${frame.first}`);
    this.tables.take(frame, this.#hooks);
    this.#index = frame.last;
    this.#hooks.onFrame?.(frame);
  }
}
