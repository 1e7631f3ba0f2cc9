import { assert } from "../../src/assert.ts";
import type { Frame } from "../../src/raft/types.ts";
import { type EntryId, type NodeId, ZERO_ID } from "../../src/raft/types.ts";
import type {
  DiskUsage,
  DiskWrite,
  MemberRecord,
  ReadRange,
  Recovered,
  SessionCheckpoint,
  SnapshotRecord,
  SnapshotReset,
  Storage,
} from "../../src/storage/storage.ts";
import type { Counters } from "./counters.ts";
import { LogDisk } from "./log-disk.ts";
import type { Random } from "./random.ts";
import type { Scheduler } from "./scheduler.ts";

/** How a machine's disk behaves at the moment. */
export interface DiskFaults {
  minWriteMs: number;
  maxWriteMs: number;
  /** The chance that a write is on the disk long before this is said, and how long at most. */
  late: number;
  maxLateMs: number;
  /** Nothing moves before this time. */
  hungUntilMs: number;
  /** Writes fail until this time: no space is left. */
  fullUntilMs: number;
  /** What is free of it, as it is measured. */
  freeBytes: number;
  /** The next write fails: its sync returns an error. */
  failNext: boolean;
  /** The next read fails. */
  failNextRead: boolean;
  /** Of the writes that a crash finds unsynced so many are on the disk afterwards; undefined for any number. */
  keptByCrash: number | undefined;
}

export const TOTAL_BYTES = 20_000_000;
export const LIMIT_BYTES = 1_000_000;

export const HEALTHY_DISK: DiskFaults = {
  minWriteMs: 0.1,
  maxWriteMs: 0.3,
  late: 0,
  maxLateMs: 0,
  hungUntilMs: 0,
  fullUntilMs: 0,
  freeBytes: TOTAL_BYTES,
  failNext: false,
  failNextRead: false,
  keptByCrash: undefined,
};

const SAID_AFTER_MS = 0.01;
const READ_MS = 0.1;

/** An error of a disk that the simulation made fail: the node that meets it has to end. */
export class InjectedDiskError extends Error {
  override readonly name = "InjectedDiskError";
}

/** What stands in one data directory. It survives crashes. */
export class Directory {
  readonly log = new LogDisk(ZERO_ID, { currentTerm: 0, votedFor: "" }, []);
  readonly incarnation: Uint8Array;
  readonly bootstrapVoters: readonly NodeId[];
  readonly members = new Map<NodeId, MemberRecord>();
  bootstrapped = false;
  sessions: SessionCheckpoint | undefined;
  /** Oldest first. */
  snapshots: readonly SnapshotRecord[] = [];
  /** The names of snapshots' files. */
  #files = new Set<string>();

  constructor(incarnation: Uint8Array, bootstrapVoters: readonly NodeId[]) {
    this.incarnation = incarnation;
    this.bootstrapVoters = bootstrapVoters;
  }

  recovered(): Recovered {
    const { incarnation, bootstrapVoters, bootstrapped, snapshots } = this;
    const members = [...this.members.values()];
    const log = this.log.recovered();
    const newest = snapshots.at(-1)?.last.index ?? 0;
    assert(log.base.index <= newest, `the log begins after ${log.base.index}, and the newest snapshot is at ${newest}`);
    const named = snapshots.map(({ last }) => nameOf(last));
    for (const name of named) assert(this.#files.has(name), `there is a row for the snapshot ${name}, and no file`);
    this.#files = new Set(named);
    const isOutdated = this.sessions !== undefined && this.sessions.index < log.base.index;
    const sessions = isOutdated ? undefined : this.sessions;
    return { incarnation, bootstrapVoters, bootstrapped, members, sessions, snapshots, ...log };
  }

  keepFile(last: EntryId): void {
    this.#files.add(nameOf(last));
  }

  removeFile(last: EntryId): void {
    this.#files.delete(nameOf(last));
  }

  addSnapshot({ snapshot, dropped }: SnapshotReset): void {
    const newest = this.snapshots.at(-1)?.last.index ?? 0;
    assert(newest < snapshot.last.index, `a snapshot at ${snapshot.last.index} is added after one at ${newest}`);
    this.snapshots = [...this.snapshots.filter((kept) => !dropped.includes(kept)), snapshot];
  }
}

function nameOf({ index, term }: EntryId): string {
  return `${index}-${term}`;
}

interface Write {
  /** For people. */
  readonly what: () => string;
  readonly takesSpace: boolean;
  readonly apply: () => void;
  readonly done: () => void;
}

/** A directory as one process has it open: writes wait, are executed in order, and are reported when they are synced. */
export class OpenDirectory implements Storage {
  readonly recovered: Recovered;
  onFailure: (error: Error) => void = () => {};
  readonly #directory: Directory;
  readonly #faults: DiskFaults;
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #counters: Counters;
  /** Does something as the process that has opened this, unless that has ended. */
  readonly #run: (task: () => void) => void;
  readonly #tell: (line: () => string) => void;
  #onUsage: (usage: DiskUsage) => void = () => {};
  #waiting: Write[] = [];
  #busy = false;
  #saidMs = 0;
  #ended = false;

  constructor(
    directory: Directory,
    faults: DiskFaults,
    scheduler: Scheduler,
    random: Random,
    counters: Counters,
    run: (task: () => void) => void,
    tell: (line: () => string) => void,
  ) {
    this.recovered = directory.recovered();
    this.#directory = directory;
    this.#faults = faults;
    this.#scheduler = scheduler;
    this.#random = random;
    this.#counters = counters;
    this.#run = run;
    this.#tell = tell;
  }

  set onUsage(listener: (usage: DiskUsage) => void) {
    this.#onUsage = listener;
    this.measure();
  }

  measure(): void {
    const { freeBytes } = this.#faults;
    const usedBytes = this.#directory.log.entries.reduce((sum, { bytes }) => sum + bytes.length, 0);
    this.#onUsage({ freeBytes, limitBytes: LIMIT_BYTES, totalBytes: TOTAL_BYTES, usedBytes });
  }

  write(write: DiskWrite, done: () => void): void {
    this.#counters.add("disk turns");
    this.#counters.add("frames written", write.frames.length);
    const apply = (): void => {
      this.#directory.log.apply({ ...write, reset: write.reset?.snapshot.last });
      if (write.reset !== undefined) this.#directory.addSnapshot(write.reset);
    };
    if (write.reset !== undefined) this.#counters.add("logs replaced");
    this.#enqueue({ what: () => describe(write), takesSpace: write.frames.length > 0, apply, done });
  }

  saveMember(member: MemberRecord, done: () => void): void {
    const apply = (): void => void this.#directory.members.set(member.id, member);
    this.#enqueue({ what: () => `member ${member.id}`, takesSpace: false, apply, done });
  }

  saveBootstrapped(done: () => void): void {
    const apply = (): void => {
      this.#directory.bootstrapped = true;
    };
    this.#enqueue({ what: () => "that all have met", takesSpace: false, apply, done });
  }

  saveSessions(checkpoint: SessionCheckpoint, done: () => void): void {
    const apply = (): void => {
      this.#directory.sessions = checkpoint;
    };
    this.#counters.add("session checkpoints");
    this.#enqueue({ what: () => `sessions to ${checkpoint.index}`, takesSpace: true, apply, done });
  }

  saveSnapshot(snapshot: SnapshotRecord, dropped: readonly SnapshotRecord[], done: () => void): void {
    const apply = (): void => this.#directory.addSnapshot({ snapshot, dropped });
    this.#enqueue({ what: () => `a snapshot at ${snapshot.last.index}`, takesSpace: true, apply, done });
  }

  compact(base: EntryId, done: () => void): void {
    const apply = (): void => this.#directory.log.compact(base);
    this.#counters.add("logs cut off");
    this.#enqueue({ what: () => `no more to ${base.index}`, takesSpace: false, apply, done });
  }

  read(range: ReadRange, done: (frames: readonly Frame[]) => void): void {
    const readyMs = Math.max(this.#scheduler.nowMs, this.#faults.hungUntilMs) + this.#random.between(0, READ_MS);
    this.#counters.add("disk reads");
    this.#scheduler.at(readyMs, () => {
      if (this.#ended) return;
      if (this.#faults.failNextRead) {
        this.#faults.failNextRead = false;
        this.#counters.add("failed reads");
        // Nothing is reported any more.
        this.#ended = true;
        return this.#run(() => this.onFailure(new InjectedDiskError("the read failed")));
      }
      const last = Math.min(range.last, this.#directory.log.lastIndex);
      // Of what is not committed some may be gone by now; what is committed stays.
      assert(
        !range.isCommitted || last === range.last || range.first <= this.#directory.log.base.index,
        `the committed entries to ${range.last} are on the disk`,
      );
      const { log } = this.#directory;
      // What the log begins after is gone.
      const frames = log.read(range.first, last, range.maxBytes) ?? [];
      assert(frames.length > 0 || !range.isCommitted || range.first <= log.base.index, `entry ${range.first} is there`);
      this.#run(() => done(frames));
    });
  }

  /** The power goes: of what was not synced an arbitrary first part is found later, in whole transactions. */
  crash(): void {
    this.#ended = true;
    const { length } = this.#waiting;
    const kept = Math.min(length, this.#faults.keptByCrash ?? this.#random.below(length + 1));
    const lost = length - kept;
    for (const { what, apply } of this.#waiting.splice(0, kept)) {
      this.#tell(() => `has on its disk, unsaid: ${what()}`);
      apply();
    }
    for (const { what } of this.#waiting) this.#tell(() => `loses: ${what()}`);
    this.#counters.add("unsynced writes kept", kept);
    this.#counters.add("unsynced writes lost", lost);
    // What of it is there has no end, and a transaction without its end counts for nothing.
    if (this.#busy && kept === 0) this.#counters.add("writes lost under way");
  }

  async close(): Promise<void> {}

  #enqueue(write: Write): void {
    this.#waiting.push(write);
    if (!this.#busy) this.#start();
  }

  #start(): void {
    this.#busy = true;
    const { minWriteMs, maxWriteMs } = this.#faults;
    this.#scheduler.in(this.#random.between(minWriteMs, maxWriteMs), () => this.#finish());
  }

  #finish(): void {
    if (this.#ended) return;
    const { hungUntilMs } = this.#faults;
    if (hungUntilMs > this.#scheduler.nowMs) {
      this.#counters.add("writes held by a hung disk");
      this.#scheduler.at(hungUntilMs, () => this.#finish());
      return;
    }
    const write = this.#waiting[0];
    assert(write !== undefined, "a write was started");
    const error = this.#errorOf(write);
    if (error !== undefined) {
      this.#run(() => this.onFailure(error));
      return;
    }
    this.#waiting.shift();
    this.#tell(() => `has on its disk: ${write.what()}`);
    write.apply();
    this.#say(write.done);
    this.#busy = false;
    if (this.#waiting.length > 0) this.#start();
  }

  #errorOf(write: Write): Error | undefined {
    if (this.#faults.failNext) {
      this.#faults.failNext = false;
      this.#counters.add("failed syncs");
      return new InjectedDiskError("the sync failed");
    }
    if (!write.takesSpace || this.#scheduler.nowMs >= this.#faults.fullUntilMs) return undefined;
    this.#counters.add("writes to a full disk");
    return new InjectedDiskError("no space is left");
  }

  #say(done: () => void): void {
    let delayMs = SAID_AFTER_MS;
    if (this.#random.chance(this.#faults.late)) {
      delayMs += this.#random.between(0, this.#faults.maxLateMs);
      this.#counters.add("writes reported late");
    }
    this.#saidMs = Math.max(this.#saidMs, this.#scheduler.nowMs + delayMs);
    this.#scheduler.at(this.#saidMs, () => {
      if (!this.#ended) this.#run(done);
    });
  }
}

function describe({ hardState, reset, truncateFrom, frames }: DiskWrite): string {
  const parts = [
    ...(hardState === undefined ? [] : [`term ${hardState.currentTerm}, vote ${hardState.votedFor || "none"}`]),
    ...(reset === undefined ? [] : [`nothing but a snapshot at ${reset.snapshot.last.index}`]),
    ...(truncateFrom === undefined ? [] : [`nothing from ${truncateFrom} on`]),
    ...frames.map(({ first, last, term }) => `${first}-${last} of term ${term}`),
  ];
  return parts.join("; ");
}
