import { assert } from "../assert.ts";
import type { EntryId, Frame } from "../raft/types.ts";
import type { DirectoryLock } from "./lock.ts";
import type { ReaderReply, ReaderRequest, WriterReply, WriterRequest } from "./messages.ts";
import { packFrames, unpackFrames } from "./packed-frames.ts";
import type { SnapshotFiles } from "./snapshot-files.ts";
import type {
  DiskUsage,
  DiskWrite,
  MemberRecord,
  ReadRange,
  Recovered,
  SessionCheckpoint,
  SnapshotRecord,
  Storage,
} from "./storage.ts";
import type { StorageThread } from "./storage-thread.ts";

type Writer = StorageThread<WriterRequest, WriterReply>;
type Reader = StorageThread<ReaderRequest, ReaderReply>;

/** Keeps the first failure until somebody wants to know. */
export class FailureLatch {
  #error: Error | undefined;
  #listener: ((error: Error) => void) | undefined;
  #told = false;

  get failed(): boolean {
    return this.#error !== undefined;
  }

  fail(error: Error): void {
    this.#error ??= error;
    this.#maybeTell();
  }

  listen(listener: (error: Error) => void): void {
    this.#listener = listener;
    // Not from within the assignment: the listener's owner may not be ready yet.
    queueMicrotask(() => this.#maybeTell());
  }

  #maybeTell(): void {
    if (this.#told || this.#error === undefined || this.#listener === undefined) return;
    this.#told = true;
    this.#listener(this.#error);
  }
}

/** What a start found. */
export interface Found {
  readonly recovered: Recovered;
  readonly files: SnapshotFiles;
  readonly usage: DiskUsage;
}

/** A data directory in SQLite, and files beside it. Writes and reads run in threads of their own; callbacks run on the caller's. */
export class SqliteStorage implements Storage {
  readonly recovered: Recovered;
  readonly snapshotFiles: SnapshotFiles;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #lock: DirectoryLock;
  readonly #failure: FailureLatch;
  #usage: DiskUsage;
  #onUsage: (usage: DiskUsage) => void = () => {};
  #commits = 0;

  constructor(found: Found, writer: Writer, reader: Reader, lock: DirectoryLock, failure: FailureLatch) {
    this.recovered = found.recovered;
    this.snapshotFiles = found.files;
    this.#writer = writer;
    this.#reader = reader;
    this.#lock = lock;
    this.#failure = failure;
    this.#usage = found.usage;
    writer.onMeasured = (usage) => {
      this.#usage = usage;
      this.#onUsage(usage);
    };
  }

  /** Transactions that the writer has committed since the opening, each with one sync of the WAL. */
  get commits(): number {
    return this.#commits;
  }

  /** Something else than the two threads has found that the disk failed. */
  fail(error: Error): void {
    this.#failure.fail(error);
  }

  set onFailure(listener: (error: Error) => void) {
    this.#failure.listen(listener);
  }

  set onUsage(listener: (usage: DiskUsage) => void) {
    this.#onUsage = listener;
    listener(this.#usage);
  }

  write({ hardState, reset, truncateFrom, frames }: DiskWrite, done: () => void): void {
    const packed = frames.length === 0 ? undefined : packFrames(frames);
    const request: WriterRequest = { kind: "write", hardState, reset, truncateFrom, frames: packed };
    this.#post(request, packed === undefined ? [] : [packed], () => {
      if (reset !== undefined) this.#remove(reset.dropped);
      done();
    });
  }

  saveSnapshot(snapshot: SnapshotRecord, dropped: readonly SnapshotRecord[], done: () => void): void {
    this.#post({ kind: "saveSnapshot", snapshot, dropped }, [], () => {
      this.#remove(dropped);
      done();
    });
  }

  compact(base: EntryId, done: () => void): void {
    this.#post({ kind: "compact", base }, [], done);
  }

  saveMember(member: MemberRecord, done: () => void): void {
    this.#post({ kind: "saveMember", member }, [], done);
  }

  saveBootstrapped(done: () => void): void {
    this.#post({ kind: "saveBootstrapped" }, [], done);
  }

  saveSessions(checkpoint: SessionCheckpoint, done: () => void): void {
    this.#post({ kind: "saveSessions", checkpoint }, [checkpoint.bytes.buffer], done);
  }

  /** What can't be removed is swept away by the next start. */
  #remove(snapshots: readonly SnapshotRecord[]): void {
    for (const snapshot of snapshots) this.snapshotFiles.remove(snapshot).catch(() => {});
  }

  #post(request: WriterRequest, transfer: readonly ArrayBuffer[], done: () => void): void {
    this.#writer.post(request, transfer, (reply) => {
      assert(reply.kind === "done", "the writer answers a request when it is done");
      this.#commits = reply.commits;
      // One thread failed: nothing that the other still finishes is reported.
      if (!this.#failure.failed) done();
    });
  }

  read(range: ReadRange, done: (frames: readonly Frame[]) => void): void {
    this.#reader.post({ kind: "read", range }, [], (reply) => {
      assert(reply.kind === "frames", "the reader answers a read with frames");
      if (!this.#failure.failed) done(unpackFrames(reply.frames));
    });
  }

  /** The reader first: the last connection to close brings the WAL into the database, which only the writer can. */
  async close(): Promise<void> {
    await this.#reader.close();
    await this.#writer.close();
    this.#lock.release();
  }
}
