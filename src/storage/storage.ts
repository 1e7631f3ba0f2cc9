import type { EntryId, Frame, HardState, NodeId, TermStart } from "../raft/types.ts";

/**
 * The port to a node's disk. Everything that a node must find again after a crash goes through here. The SQLite
 * implementation serves production; the simulation has one whose disk can be slow, hang, fail and lose what was not
 * synced.
 *
 * Writes are executed in the order in which they were given, each in one transaction: after a crash the disk holds the
 * effects of a prefix of them, and at least of those that were reported done. A read sees every write reported done.
 */
export interface Storage {
  /** What the disk held when it was opened. */
  readonly recovered: Recovered;

  /** Starts one write. `done` is called once its effects are synced, in the order of the writes. */
  write(write: DiskWrite, done: () => void): void;

  /**
   * Reads entries of the log from `range.first` to at most `range.last`, as many as fit in `range.maxBytes` but at least
   * one, if the range allows it.
   */
  read(range: ReadRange, done: (frames: readonly Frame[]) => void): void;

  /** Remembers a member's incarnation, and that all initial members have been met. */
  saveMember(member: MemberRecord, done: () => void): void;
  saveBootstrapped(done: () => void): void;

  /** Replaces the checkpoint of the session table. Its bytes have a buffer of their own, which is handed over. */
  saveSessions(checkpoint: SessionCheckpoint, done: () => void): void;

  /**
   * Remembers a snapshot, whose file is durable, and forgets others, whose files are removed some time after. What the newest one
   * covers is durable in the log, or was.
   */
  saveSnapshot(snapshot: SnapshotRecord, dropped: readonly SnapshotRecord[], done: () => void): void;

  /**
   * Lets the log begin after `base`, which the newest snapshot covers. A read of what was before brings nothing, or some of it;
   * it is removed bit by bit. `done` is called once a start would find the log so.
   */
  compact(base: EntryId, done: () => void): void;

  /**
   * Called at most once, with an error that says what is damaged or failed; nothing is reported done after it. The
   * process has to end: what the disk holds is no longer known. A failure from before it was set is told then.
   */
  onFailure: (error: Error) => void;

  /**
   * Called with what was measured of the disk: when it is set, twice a second, and after every MiB of the log that was
   * written, before that is reported done.
   */
  onUsage: (usage: DiskUsage) => void;

  /** Ends after the writes in progress. */
  close(): Promise<void>;
}

/** How full the disk is, in bytes. */
export interface DiskUsage {
  /** What the log can still be written to: the free space of the file system, and the unused pages of the database. */
  readonly freeBytes: number;
  /** With less than that free the disk is low; 0 for never. */
  readonly limitBytes: number;
  /** Of the file system, in use or not. */
  readonly totalBytes: number;
  /** Of the database, without its unused pages. */
  readonly usedBytes: number;
}

/** A part of the log that is durable when the read is asked for. */
export interface ReadRange {
  readonly first: number;
  readonly last: number;
  readonly maxBytes: number;
  /**
   * Committed entries are there until the log begins later: one that is missing otherwise is damage, and fails the storage. Others
   * may be truncated before they are read: then fewer come, or none.
   */
  readonly isCommitted: boolean;
}

/** What a node finds on its disk at start. */
export interface Recovered {
  /** Random, 16 bytes, made with the directory. */
  readonly incarnation: Uint8Array;
  /** The voters with which the directory was bootstrapped, ordered. */
  readonly bootstrapVoters: readonly NodeId[];
  /** Whether all initial members have exchanged incarnations with this directory. */
  readonly bootstrapped: boolean;
  /** The incarnations of the other members, as far as met. */
  readonly members: readonly MemberRecord[];
  readonly hardState: HardState;
  /** The entry before the first one. */
  readonly base: EntryId;
  /** Index of the last entry; `base.index` for an empty log. */
  readonly lastIndex: number;
  /**
   * Where each term starts, ascending. The first is at `base.index + 1`, also when its term began before; none for an
   * empty log.
   */
  readonly termStarts: readonly TermStart[];
  /** The session table as of an earlier entry; undefined when there is none yet that the log goes on from. */
  readonly sessions: SessionCheckpoint | undefined;
  /** Oldest first. The newest covers `base`, unless that is (0, 0). */
  readonly snapshots: readonly SnapshotRecord[];
}

/** The session table as of the entry at `index`, which is committed and durable. */
export interface SessionCheckpoint {
  readonly index: number;
  /** Opaque to the storage. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A snapshot: of the application's state, as put by it, and of the sidecar's own. */
export interface SnapshotRecord {
  /** The last entry that the state has applied. */
  readonly last: EntryId;
  readonly format: string;
  /** In bytes. */
  readonly size: number;
  /** Of the application's state, 32 bytes. */
  readonly sha256: Uint8Array;
  /** The sidecar's own state as of `last`. Opaque to the storage. */
  readonly ownState: Uint8Array;
}

/** Another member, as it introduced itself. */
export interface MemberRecord {
  readonly id: NodeId;
  readonly incarnation: Uint8Array;
  readonly clientAddress: string;
  readonly peerAddress: string;
}

/** One disk turn. */
export interface DiskWrite {
  /** Term and vote, when they changed. */
  readonly hardState: HardState | undefined;
  /** Replace the log by an empty one that begins after this snapshot, which is remembered as by `saveSnapshot`. */
  readonly reset?: SnapshotReset | undefined;
  /** Remove this index and everything after it before the frames are appended. */
  readonly truncateFrom: number | undefined;
  /** Entries to append, following what the log then ends with. */
  readonly frames: readonly Frame[];
}

export interface SnapshotReset {
  readonly snapshot: SnapshotRecord;
  readonly dropped: readonly SnapshotRecord[];
}
