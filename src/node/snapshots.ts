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

/** After so long it is worth to try again what needs room, or another's end. */
const RETRY_MS = 1_000;

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
    if (this.#node.draining) throw draining();
    const last = this.#check(header);
    if (this.#uploads >= MAX_UPLOADS) {
      const metadata = { limit: String(MAX_UPLOADS) };
      throw new Failure("OVERLOADED", `${MAX_UPLOADS} snapshots are being stored`, {
        metadata,
        retryAfterMs: RETRY_MS,
      });
    }
    this.#uploads++;
    try {
      return new Upload(this, last, header.format, await this.#store.create());
    } catch (error) {
      this.#uploads--;
      throw error;
    }
  }

  /** The newest in one of the formats, to be read and closed. Throws a Failure when there is none. */
  async read(formats: readonly string[]): Promise<SnapshotReader> {
    const snapshot = this.#store.find(formats);
    if (snapshot !== undefined) return this.#store.read(snapshot);
    const wanted = formats.length === 0 ? "" : ` in any of the formats ${formats.join(", ")}`;
    throw new Failure("NO_SNAPSHOT", `this node has no snapshot${wanted}`);
  }

  /** Makes an upload the newest snapshot. Throws a Failure when another one, as new, has been faster. */
  async add(writer: SnapshotWriter, snapshot: SnapshotRecord): Promise<void> {
    const adding = this.#adding.then(async () => {
      this.#refuseOutdated(snapshot.last.index);
      await this.failing(() => this.#store.add(writer, snapshot));
    });
    this.#adding = adding.catch(() => {});
    await adding;
  }

  onUploadEnded(): void {
    this.#uploads--;
  }

  /** Does what may fail with the disk. Throws a Failure: DISK_LOW when nothing but room is lacking. */
  async failing<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      if (error instanceof Failure) throw error;
      if (error instanceof DiskLowError || /^(ENOSPC|EDQUOT|EFBIG)$/.test(errorCode(error))) {
        throw new Failure("DISK_LOW", "this node's disk is nearly full", { retryAfterMs: RETRY_MS, cause: error });
      }
      this.#onDamage(error instanceof StorageError ? error : toStorageError(error, "a snapshot's file"));
      throw new Failure("DATA_LOSS", "this node's storage failed; go on with any other", { cause: error });
    }
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

  async discard(): Promise<void> {
    await this.#writer.discard();
    this.#snapshots.onUploadEnded();
  }
}
