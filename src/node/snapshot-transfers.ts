import { Failure } from "../failure.ts";
import type { EntryId } from "../raft/types.ts";
import { errorCode, StorageError, toStorageError } from "../storage/error.ts";
import { DiskLowError, type SnapshotFiles, type SnapshotWriter } from "../storage/snapshot-files.ts";
import type { SnapshotRecord } from "../storage/storage.ts";
import type { NodeApi } from "./api.ts";
import { draining } from "./failures.ts";

/** Snapshots that may be on their way to this node: one, and one more for an application that was restarted. */
const MAX_UPLOADS = 2;

/** Snapshots that may be on their way out of it. Each has a file open, and a few MiB. */
const MAX_DOWNLOADS = 16;

/** After so long it is worth to try again what needs room, or another's end. */
const RETRY_MS = 1_000;

/** Errors by what they say of the disk. What is neither, such as a missing permission, ends a call and no node. */
const NO_ROOM = /^(ENOSPC|EDQUOT|EFBIG)$/;
const NO_DESCRIPTORS = /^(EMFILE|ENFILE)$/;
const DISK_FAILED = /^(EIO|EROFS|ESTALE|ENXIO|ENODEV)$/;

/** What is stored, and how it is read. */
export type { SnapshotRecord, SnapshotWriter };

/** A snapshot that is being read. One operation at a time. */
export interface OpenSnapshot {
  /** The next bytes, at most so many; none at the end. Throws a Failure when the disk fails. */
  read(maxBytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** What an upload says that it is. */
export interface UploadHeader {
  readonly index: number;
  /** 0 for not checked. */
  readonly term: number;
  readonly format: string;
}

/** What transfers need of a node. */
export type SnapshotNode = Pick<NodeApi, "snapshots" | "draining">;

/** A snapshot without the sidecar's part. */
type UploadedSnapshot = Omit<SnapshotRecord, "ownState">;

/** Takes in and hands out snapshots' bytes: those of the application's states. */
export class SnapshotTransfers {
  readonly #node: SnapshotNode;
  readonly #files: SnapshotFiles;
  readonly #onDamage: (error: StorageError) => void;
  #uploads = 0;
  #downloads = 0;
  #isClosed = false;
  /** Called when no upload is left. */
  #onIdle = (): void => {};

  /** `onDamage` is called when the disk fails, or returns what was not written: the node has to end. */
  constructor(node: SnapshotNode, files: SnapshotFiles, onDamage: (error: StorageError) => void) {
    this.#node = node;
    this.#files = files;
    this.#onDamage = onDamage;
  }

  get latest(): SnapshotRecord | undefined {
    return this.#node.snapshots.latest;
  }

  /** Begins an upload, which has to be finished or discarded. Throws a Failure that says what stands against it. */
  async begin(header: UploadHeader): Promise<Upload> {
    this.#refuseClosed();
    const last = this.#node.snapshots.check(header.index, header.term);
    if (this.#uploads >= MAX_UPLOADS) throw tooMany(MAX_UPLOADS, "stored");
    this.#uploads++;
    try {
      return new Upload(this, last, header.format, await this.create());
    } catch (error) {
      this.onUploadEnded();
      throw error;
    }
  }

  /** The newest snapshot in one of the formats, in any when none is given. Throws a Failure when there is none. */
  find(formats: readonly string[]): SnapshotRecord {
    const snapshot = this.#node.snapshots.find(formats);
    if (snapshot !== undefined) return snapshot;
    const wanted = formats.length === 0 ? "" : ` in any of the formats ${formats.join(", ")}`;
    throw new Failure("NO_SNAPSHOT", `this node has no snapshot${wanted}`);
  }

  /** The newest in one of the formats that covers entries to `minIndex` at least; undefined for none. */
  findFrom(formats: readonly string[], minIndex: number): SnapshotRecord | undefined {
    return this.#node.snapshots.find(formats, minIndex);
  }

  /** The snapshot that covers everything to exactly that entry. Throws a Failure when there is none. */
  get(last: EntryId): SnapshotRecord {
    const snapshot = this.#node.snapshots.get(last);
    if (snapshot !== undefined) return snapshot;
    throw new Failure("NO_SNAPSHOT", `this node has no snapshot of entry ${last.index} of term ${last.term}`);
  }

  /** Has a snapshot read, from an offset in the application's part on. */
  async read(snapshot: SnapshotRecord, offset: number, use: (reader: OpenSnapshot) => Promise<void>): Promise<void> {
    const reader = await this.open(snapshot, offset);
    await use(reader).finally(() => reader.close());
  }

  /** Opens the snapshot that covers everything to exactly that entry. */
  async openAt(last: EntryId): Promise<OpenSnapshot> {
    return this.open(this.get(last), 0);
  }

  /** Opens a snapshot, from an offset in the application's part on. Until it is closed it stays, and the log after it. */
  async open(snapshot: SnapshotRecord, offset: number): Promise<OpenSnapshot> {
    this.#refuseClosed();
    if (this.#downloads >= MAX_DOWNLOADS) throw tooMany(MAX_DOWNLOADS, "read");
    this.#downloads++;
    const unpin = this.#node.snapshots.pin(snapshot);
    const release = (): void => {
      unpin();
      this.#downloads--;
    };
    try {
      const reader = await this.failing(() => this.#files.read(snapshot, offset));
      return {
        read: (maxBytes) => this.failing(() => reader.read(maxBytes)),
        close: () => reader.close().finally(release),
      };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** A place for a snapshot that is about to come, of so many bytes when that is known. */
  create(size?: number): Promise<SnapshotWriter> {
    return this.failing(() => this.#files.create(size));
  }

  /** Takes nothing new, and resolves once what has begun has ended; all calls have to have been ended before. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#uploads === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Makes an upload the newest snapshot. Throws a Failure when it can't be, such as when another one, as new, has been faster. */
  async add(writer: SnapshotWriter, part: UploadedSnapshot): Promise<SnapshotRecord> {
    this.#refuseClosed();
    return new Promise((resolve, reject) => {
      const keep = (done: (failure: Error | undefined) => void): void => this.keep(writer, part, done);
      this.#node.snapshots.add({ ...part, ownState: undefined, keep }, (result) => {
        if (result instanceof Error) reject(result);
        else resolve(result);
      });
    });
  }

  /** Makes a file durable. `done` is called once, with why it can't be if so. */
  keep(writer: SnapshotWriter, part: Pick<SnapshotRecord, "last">, done: (failure: Error | undefined) => void): void {
    this.failing(() => writer.finish(part)).then(
      () => done(undefined),
      (error: unknown) => done(error instanceof Error ? error : new Error(String(error))),
    );
  }

  onUploadEnded(): void {
    this.#uploads--;
    if (this.#uploads === 0) this.#onIdle();
  }

  /**
   * Does what may fail with the disk. Throws a Failure where something else is to be done than to look at the disk; and
   * where it is the disk, once the node has been told that it has to end.
   */
  async failing<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      const code = errorCode(error);
      if (error instanceof DiskLowError || NO_ROOM.test(code)) {
        throw new Failure("DISK_LOW", "this node's disk is nearly full", { retryAfterMs: RETRY_MS, cause: error });
      }
      if (NO_DESCRIPTORS.test(code)) {
        throw new Failure("OVERLOADED", "this node has too many files open", { retryAfterMs: RETRY_MS, cause: error });
      }
      const isDisk = error instanceof StorageError || DISK_FAILED.test(code);
      if (!isDisk) throw error;
      this.#onDamage(toStorageError(error, "a snapshot's file"));
      throw new Failure("DATA_LOSS", "this node's storage failed; go on with any other", { cause: error });
    }
  }

  #refuseClosed(): void {
    if (this.#isClosed || this.#node.draining) throw draining();
  }
}

/** A snapshot on its way in. One operation at a time; nothing counts before `finish` has succeeded. */
export class Upload {
  readonly #transfers: SnapshotTransfers;
  readonly #last: EntryId;
  readonly #format: string;
  readonly #writer: SnapshotWriter;

  constructor(transfers: SnapshotTransfers, last: EntryId, format: string, writer: SnapshotWriter) {
    this.#transfers = transfers;
    this.#last = last;
    this.#format = format;
    this.#writer = writer;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#transfers.failing(() => this.#writer.write(chunk));
  }

  /** The newest snapshot from now on. It has to be discarded when this fails. */
  async finish(sha256: Uint8Array): Promise<SnapshotRecord> {
    const { size } = this.#writer;
    const found = this.#writer.sha256();
    if (!Buffer.from(found).equals(sha256)) {
      const metadata = { size: String(size), sha256: Buffer.from(found).toString("hex") };
      throw new Failure("CHECKSUM_MISMATCH", `the SHA-256 of the ${size} bytes that came is another`, { metadata });
    }
    const part = { last: this.#last, format: this.#format, size, sha256: found };
    const snapshot = await this.#transfers.add(this.#writer, part);
    this.#transfers.onUploadEnded();
    return snapshot;
  }

  /** Never rejects: what can't be removed is swept away by the next start. */
  async discard(): Promise<void> {
    await this.#writer.discard().catch(() => {});
    this.#transfers.onUploadEnded();
  }
}

function tooMany(limit: number, what: string): Failure {
  const metadata = { limit: String(limit) };
  return new Failure("OVERLOADED", `${limit} snapshots are being ${what}`, { metadata, retryAfterMs: RETRY_MS });
}
