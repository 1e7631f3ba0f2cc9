import type { EntryId } from "../raft/types.ts";

/** The port to the snapshots that a subscriber may need. */
export interface SnapshotSource {
  /** The newest in one of the formats that stands for all entries to `minIndex` at least; undefined for none. */
  find(formats: readonly string[], minIndex: number): SentSnapshot | undefined;
  /** Opens it for reading. `done` is called once. */
  open(snapshot: SentSnapshot, done: (result: SnapshotChunks | Error) => void): void;
}

/** A snapshot of the application's state, as it is announced. */
export interface SentSnapshot {
  /** The last entry that the state has applied. */
  readonly last: EntryId;
  readonly format: string;
  /** In bytes. */
  readonly size: number;
  /** Of the state, 32 bytes. */
  readonly sha256: Uint8Array;
}

/** The bytes of a snapshot, from the first to the last. */
export interface SnapshotChunks {
  /** The next ones; none at the end. One at a time; `done` is called once. */
  read(done: (result: Uint8Array | Error) => void): void;
  /** Nothing more is read. */
  close(): void;
}
