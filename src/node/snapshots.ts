import { assert } from "../assert.ts";
import type { Clock } from "../clock.ts";
import { Failure } from "../failure.ts";
import type { Raft } from "../raft/raft.ts";
import type { EntryId } from "../raft/types.ts";
import type { SnapshotRecord, SnapshotReset, Storage } from "../storage/storage.ts";
import type { NodeOptions } from "./options.ts";
import { OwnStateBuilder } from "./own-state-builder.ts";

/** How many snapshots are kept. While the newest is read by those who need one, the application may put the next. */
const KEPT = 2;

/** Where this node follows, the log may grow by so much more before its application is asked. */
const FOLLOWER_PATIENCE = 1.25;

/** After its last reader has gone a snapshot stays for another try, and the log after it for those who have it now. */
const PIN_LINGER_MS = 30_000;

/** After so long it is worth to try again what came too soon. */
const RETRY_MS = 1_000;

/** A snapshot whose bytes have come to this node. It counts for nothing yet. */
export interface ArrivedSnapshot extends Omit<SnapshotRecord, "ownState"> {
  /** Undefined when this node has to make it from its log: the application put the snapshot here. */
  readonly ownState: Uint8Array | undefined;
  /** Makes its file durable. `done` is called once, with why it can't be if so. */
  keep(done: (failure: Error | undefined) => void): void;
}

export interface SnapshotsHooks {
  readonly logId: () => Uint8Array;
  /** Called when there is more to do in a turn. */
  readonly onProgress: () => void;
  /** Called when one more snapshot is durable and counts; the log is as it was. */
  readonly onStored: (snapshot: SnapshotRecord) => void;
}

interface Job {
  readonly arrived: ArrivedSnapshot;
  readonly done: (result: SnapshotRecord | Error) => void;
}

/**
 * The snapshots that this node has. What arrives is taken in one after the other: its own part is made, if this node has to,
 * its file is made durable, and then it counts, by a row in the database. Where the log doesn't reach so far, it is replaced.
 */
export class Snapshots {
  readonly #raft: Raft;
  readonly #storage: Storage;
  readonly #clock: Clock;
  readonly #options: NodeOptions;
  readonly #hooks: SnapshotsHooks;
  /** Oldest first. */
  #kept: readonly SnapshotRecord[];
  /** Bytes that were applied since it was stored, or since the start. */
  #bytesSince = 0;
  readonly #waiting: Job[] = [];
  #job: Job | undefined;
  #builder: OwnStateBuilder | undefined;
  /** Its file is durable; it waits to count. */
  #ready: SnapshotRecord | undefined;
  /** It is about to replace the log. */
  #reset: SnapshotReset | undefined;
  /** The disk is being told of it: its file must stay, as a start may find that it counts. */
  #isSaving = false;
  /** By the snapshot's index, by how many it is being read, or was a moment ago. */
  readonly #pins = new Map<number, number>();
  #endedWith: Failure | undefined;

  constructor(raft: Raft, storage: Storage, clock: Clock, options: NodeOptions, hooks: SnapshotsHooks) {
    this.#raft = raft;
    this.#storage = storage;
    this.#clock = clock;
    this.#options = options;
    this.#hooks = hooks;
    this.#kept = storage.recovered.snapshots;
  }

  /** Oldest first. */
  get kept(): readonly SnapshotRecord[] {
    return this.#kept;
  }

  get latest(): SnapshotRecord | undefined {
    return this.#kept.at(-1);
  }

  /**
   * Whether the log has grown so much since the newest one that the application shall put another. One is enough for all: the
   * leader's application is asked first.
   */
  get isWanted(): boolean {
    const { snapshotEntries, snapshotBytes } = this.#options;
    const entries = this.#raft.lastApplied - (this.latest?.last.index ?? 0);
    const patience = this.#raft.role.kind === "leader" ? 1 : FOLLOWER_PATIENCE;
    return entries >= snapshotEntries * patience || this.#bytesSince >= snapshotBytes * patience;
  }

  /** So many more bytes of the log are applied. */
  onApplied(bytes: number): void {
    this.#bytesSince += bytes;
  }

  /** The newest in one of the formats, in any when none is given, that covers entries to `minIndex` at least. */
  find(formats: readonly string[], minIndex = 0): SnapshotRecord | undefined {
    return this.#kept.findLast(
      ({ format, last }) => last.index >= minIndex && (formats.length === 0 || formats.includes(format)),
    );
  }

  /** The snapshot of exactly that entry. */
  get(last: EntryId): SnapshotRecord | undefined {
    return this.#kept.find((snapshot) => snapshot.last.index === last.index && snapshot.last.term === last.term);
  }

  /**
   * Keeps a snapshot, and the log after it, for one who reads it. Returns how to let go, which takes effect after a while: a
   * reader whose connection broke comes back.
   */
  pin({ last: { index } }: SnapshotRecord): () => void {
    this.#pins.set(index, (this.#pins.get(index) ?? 0) + 1);
    let isPinned = true;
    return () => {
      if (!isPinned) return;
      isPinned = false;
      this.#clock.setTimer(PIN_LINGER_MS, () => {
        const left = (this.#pins.get(index) ?? 0) - 1;
        if (left > 0) this.#pins.set(index, left);
        else this.#pins.delete(index);
      });
    };
  }

  /** The entry before those that the readers of snapshots will need next. */
  get pinnedIndex(): number {
    return Math.min(...this.#pins.keys());
  }

  /** The entry that an application means with `index` and, unless 0, `term`. Throws a Failure when there can't be a snapshot. */
  check(index: number, term: number): EntryId {
    const { lastApplied, log } = this.#raft;
    if (index > lastApplied) {
      const metadata = { applied_index: String(lastApplied) };
      throw new Failure("SNAPSHOT_AHEAD", `entry ${index} isn't committed and durable here, where ${lastApplied} is`, {
        metadata,
        retryAfterMs: RETRY_MS,
      });
    }
    // What is about to replace the log is newer than all that this node had applied.
    const latest = Math.max(this.latest?.last.index ?? 0, log.base.index);
    if (index <= latest) throw outdated(latest);
    const found = log.termAt(index);
    assert(found !== undefined, `the log begins after ${log.base.index}, and lacks ${index}, which is applied`);
    if (term !== 0 && term !== found) {
      const metadata = { term: String(term), node_term: String(found) };
      throw new Failure("LOG_EPOCH_MISMATCH", `entry ${index} is of term ${found} here, not ${term}`, { metadata });
    }
    return { index, term: found };
  }

  /** Makes what has arrived the newest snapshot. `done` is called once. */
  add(arrived: ArrivedSnapshot, done: (result: SnapshotRecord | Error) => void): void {
    if (this.#endedWith !== undefined) return done(this.#endedWith);
    this.#waiting.push({ arrived, done });
    this.#next();
  }

  /** Before a turn's Ready is taken: goes on with what has arrived, as far as one turn may. */
  step(): void {
    this.#build();
    const snapshot = this.#ready;
    if (snapshot === undefined || this.#raft.durability.isResetting) return;
    const { last } = snapshot;
    if (last.index <= this.#raft.lastApplied) return this.#save(snapshot);
    // It commits what this log holds of it; or it replaces the log, and the disk is told with the turn that follows.
    this.#raft.step({ kind: "install", last });
    if (this.#raft.durability.isResetting) this.#reset = this.#replaceOldest(snapshot);
  }

  /** With what the log is replaced. */
  get reset(): SnapshotReset {
    assert(this.#reset !== undefined, "a log is replaced by what has arrived");
    return this.#reset;
  }

  /** The log has been replaced, durably. */
  onReset(): void {
    const { snapshot } = this.reset;
    this.#reset = undefined;
    this.#onCounts(snapshot);
  }

  /** The node ends. What the disk is being told of ends with its answer, if that still comes. */
  failAll(failure: Failure): void {
    this.#endedWith ??= failure;
    const jobs = this.#waiting.splice(0);
    if (this.#job !== undefined && !this.#isSaving && this.#reset === undefined) {
      jobs.unshift(this.#job);
      this.#job = undefined;
      this.#builder = undefined;
      this.#ready = undefined;
    }
    for (const { done } of jobs) done(failure);
  }

  #next(): void {
    if (this.#job !== undefined) return;
    this.#job = this.#waiting.shift();
    if (this.#job === undefined) return;
    const { arrived } = this.#job;
    const latest = this.latest;
    if (arrived.last.index <= (latest?.last.index ?? 0)) return this.#end(outdated(latest?.last.index ?? 0));
    if (arrived.ownState !== undefined) return this.#keep(arrived.ownState);
    const { logId, onProgress } = this.#hooks;
    this.#builder = new OwnStateBuilder(this.#raft, this.#storage, this.#options, latest, arrived.last.index, {
      logId,
      onProgress,
    });
    onProgress();
  }

  #build(): void {
    const result = this.#builder?.advance();
    if (result === undefined) return;
    this.#builder = undefined;
    if (result instanceof Failure) this.#end(result);
    else this.#keep(result);
  }

  #keep(ownState: Uint8Array): void {
    const job = this.#job;
    job?.arrived.keep((failure) => {
      if (this.#job !== job) return;
      if (failure !== undefined) return this.#end(failure);
      const { last, format, size, sha256 } = job.arrived;
      this.#ready = { last, format, size, sha256, ownState };
      this.#hooks.onProgress();
    });
  }

  /** The log goes as far: it stays as it is. */
  #save(snapshot: SnapshotRecord): void {
    this.#ready = undefined;
    const { index, term } = snapshot.last;
    const found = this.#raft.log.termAt(index);
    if (found !== term) {
      const metadata = { term: String(term), node_term: String(found) };
      return this.#end(
        new Failure("LOG_EPOCH_MISMATCH", `entry ${index} is of term ${found} here, not ${term}`, { metadata }),
      );
    }
    const { dropped } = this.#replaceOldest(snapshot);
    this.#isSaving = true;
    this.#storage.saveSnapshot(snapshot, dropped, () => {
      this.#isSaving = false;
      this.#onCounts(snapshot);
      this.#hooks.onStored(snapshot);
    });
  }

  /** With `snapshot` the disk forgets others: nobody begins to read one of those while it does. */
  #replaceOldest(snapshot: SnapshotRecord): SnapshotReset {
    const old = this.#kept.slice(0, Math.max(0, this.#kept.length + 1 - KEPT));
    const dropped = old.filter(({ last }) => !this.#pins.has(last.index));
    this.#kept = this.#kept.filter((kept) => !dropped.includes(kept));
    return { snapshot, dropped };
  }

  #onCounts(snapshot: SnapshotRecord): void {
    this.#kept = [...this.#kept, snapshot];
    this.#ready = undefined;
    this.#bytesSince = 0;
    this.#end(snapshot);
  }

  #end(result: SnapshotRecord | Error): void {
    const job = this.#job;
    this.#job = undefined;
    job?.done(result);
    this.#next();
  }
}

function outdated(latest: number): Failure {
  const metadata = { snapshot_index: String(latest) };
  return new Failure("SNAPSHOT_OUTDATED", `there is a snapshot at entry ${latest} already`, { metadata });
}
