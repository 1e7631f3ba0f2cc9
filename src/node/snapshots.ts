import { Failure } from "../failure.ts";
import type { EntryId } from "../raft/types.ts";
import { errorCode, StorageError, toStorageError } from "../storage/error.ts";
import { DiskLowError, type SnapshotReader, type SnapshotWriter } from "../storage/snapshot-files.ts";
import type { SnapshotStore } from "../storage/snapshot-store.ts";
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
export type { SnapshotReader, SnapshotRecord };

/** What an upload says that it is. */
export interface UploadHeader {
  readonly index: number;
  /** 0 for not checked. */
  readonly term: number;
  readonly format: string;
}

/** Takes in and hands out snapshots of the application's state. */
export class Snapshots {
  readonly #node: Pick<NodeApi, "state" | "termAt" | "draining">;
  readonly #store: SnapshotStore;
  readonly #onDamage: (error: StorageError) => void;
  #uploads = 0;
  #downloads = 0;
  #isClosed = false;
  /** Called when no upload is left. */
  #onIdle = (): void => {};
  /** One snapshot is added after the other. */
  #adding: Promise<unknown> = Promise.resolve();

  /** `onDamage` is called when the disk fails, or returns what was not written: the node has to end. */
  constructor(
    node: Pick<NodeApi, "state" | "termAt" | "draining">,
    store: SnapshotStore,
    onDamage: (error: StorageError) => void,
  ) {
    this.#node = node;
    this.#store = store;
    this.#onDamage = onDamage;
  }

  get latest(): SnapshotRecord | undefined {
    return this.#store.latest;
  }

  /** Begins an upload, which has to be finished or discarded. Throws a Failure that says what stands against it. */
  async begin(header: UploadHeader): Promise<Upload> {
    this.#refuseClosed();
    const last = this.#check(header);
    if (this.#uploads >= MAX_UPLOADS) throw tooMany(MAX_UPLOADS, "stored");
    this.#uploads++;
    try {
      return new Upload(this, last, header.format, await this.failing(() => this.#store.create()));
    } catch (error) {
      this.onUploadEnded();
      throw error;
    }
  }

  /** Has the newest snapshot in one of the formats read. Throws a Failure when there is none. */
  async read(formats: readonly string[], use: (reader: SnapshotReader) => Promise<void>): Promise<void> {
    this.#refuseClosed();
    const snapshot = this.#store.find(formats);
    if (snapshot === undefined) {
      const wanted = formats.length === 0 ? "" : ` in any of the formats ${formats.join(", ")}`;
      throw new Failure("NO_SNAPSHOT", `this node has no snapshot${wanted}`);
    }
    if (this.#downloads >= MAX_DOWNLOADS) throw tooMany(MAX_DOWNLOADS, "read");
    this.#downloads++;
    try {
      const reader = await this.failing(() => this.#store.read(snapshot));
      await use(reader).finally(() => reader.close());
    } finally {
      this.#downloads--;
    }
  }

  /** Takes nothing new, and resolves once what has begun has ended; all calls have to have been ended before. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#uploads === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Makes an upload the newest snapshot. Throws a Failure when another one, as new, has been faster. */
  async add(writer: SnapshotWriter, snapshot: SnapshotRecord): Promise<void> {
    const adding = this.#adding.then(async () => {
      this.#refuseClosed();
      this.#refuseOutdated(snapshot.last.index);
      await this.failing(() => this.#store.add(writer, snapshot));
    });
    this.#adding = adding.catch(() => {});
    await adding;
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

  /** The entry that a header means. */
  #check({ index, term }: UploadHeader): EntryId {
    const { applied, first } = this.#node.state();
    if (index > applied) {
      const metadata = { applied_index: String(applied) };
      throw new Failure("SNAPSHOT_AHEAD", `entry ${index} isn't committed and durable here, where ${applied} is`, {
        metadata,
        retryAfterMs: RETRY_MS,
      });
    }
    this.#refuseOutdated(index);
    const found = this.#node.termAt(index);
    if (found === undefined) {
      const metadata = { first_index: String(first) };
      throw new Failure("COMPACTED", `entry ${index} isn't known any more: the log starts at ${first}`, { metadata });
    }
    if (term !== 0 && term !== found) {
      const metadata = { term: String(term), node_term: String(found) };
      throw new Failure("LOG_EPOCH_MISMATCH", `entry ${index} is of term ${found} here, not ${term}`, { metadata });
    }
    return { index, term: found };
  }

  #refuseOutdated(index: number): void {
    const latest = this.#store.latest?.last.index ?? 0;
    if (index > latest) return;
    const metadata = { snapshot_index: String(latest) };
    throw new Failure("SNAPSHOT_OUTDATED", `there is a snapshot at entry ${latest} already`, { metadata });
  }
}

/** A snapshot on its way in. One operation at a time; nothing counts before `finish` has succeeded. */
export class Upload {
  readonly #snapshots: Snapshots;
  readonly #last: EntryId;
  readonly #format: string;
  readonly #writer: SnapshotWriter;

  constructor(snapshots: Snapshots, last: EntryId, format: string, writer: SnapshotWriter) {
    this.#snapshots = snapshots;
    this.#last = last;
    this.#format = format;
    this.#writer = writer;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#snapshots.failing(() => this.#writer.write(chunk));
  }

  /** The newest snapshot from now on. It has to be discarded when this fails. */
  async finish(sha256: Uint8Array): Promise<SnapshotRecord> {
    const { size } = this.#writer;
    const found = this.#writer.sha256();
    if (!Buffer.from(found).equals(sha256)) {
      const metadata = { size: String(size), sha256: Buffer.from(found).toString("hex") };
      throw new Failure("CHECKSUM_MISMATCH", `the SHA-256 of the ${size} bytes that came is another`, { metadata });
    }
    const snapshot = { last: this.#last, format: this.#format, size, sha256: found };
    await this.#snapshots.add(this.#writer, snapshot);
    this.#snapshots.onUploadEnded();
    return snapshot;
  }

  /** Never rejects: what can't be removed is swept away by the next start. */
  async discard(): Promise<void> {
    await this.#writer.discard().catch(() => {});
    this.#snapshots.onUploadEnded();
  }
}

function tooMany(limit: number, what: string): Failure {
  const metadata = { limit: String(limit) };
  return new Failure("OVERLOADED", `${limit} snapshots are being ${what}`, { metadata, retryAfterMs: RETRY_MS });
}
