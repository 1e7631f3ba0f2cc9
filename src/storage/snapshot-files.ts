import { createHash, type Hash } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { bytesUntilLow } from "./disk-space.ts";
import { BRING_BACK, errorCode, StorageError } from "./error.ts";
import type { SnapshotRecord } from "./storage.ts";

/** The folder of the snapshots in the data directory. */
const FOLDER = "snapshots";

const UNFINISHED = ".unfinished";

/** The names that files get here: others are somebody else's, and left alone. */
const OUR_NAMES = /^(\d+-\d+|\d+\.unfinished)$/;

/** So much is written before it is synced: a whole snapshot at once would keep the log's own syncs waiting for seconds. */
const SYNC_EVERY_BYTES = 16 * 1024 * 1024;

const TOO_FULL = "the file system is nearly full";

/** What there is no room for. */
export class DiskLowError extends Error {
  override readonly name = "DiskLowError";
}

/**
 * The files with the application's snapshots. A file is written under a name of its own and gets its final one once it
 * is synced; it counts once the database has a row for it. So whatever else a start finds was left by a crash.
 */
export class SnapshotFiles {
  readonly #folder: string;
  readonly #minFreeBytes: number | undefined;
  #created = 0;

  private constructor(folder: string, minFreeBytes: number | undefined) {
    this.#folder = folder;
    this.#minFreeBytes = minFreeBytes;
  }

  /**
   * The folder, made where it is missing, with the files of `snapshots` and no other of ours. Throws a StorageError when one of
   * them is missing or of another size. `minFreeBytes` as in `OpenOptions`.
   */
  static async open(
    dataDir: string,
    snapshots: readonly SnapshotRecord[],
    minFreeBytes: number | undefined,
  ): Promise<SnapshotFiles> {
    const folder = join(dataDir, FOLDER);
    await mkdir(folder, { recursive: true });
    await syncFolder(dataDir);
    for (const snapshot of snapshots) await checkSize(join(folder, nameOf(snapshot)), snapshot);
    const known = new Set(snapshots.map(nameOf));
    for (const name of await readdir(folder)) {
      if (OUR_NAMES.test(name) && !known.has(name)) await rm(join(folder, name), { force: true });
    }
    return new SnapshotFiles(folder, minFreeBytes);
  }

  /** The folder as it is, only to be read. */
  static existing(dataDir: string): SnapshotFiles {
    return new SnapshotFiles(join(dataDir, FOLDER), 0);
  }

  /** A new file, for a snapshot that is about to come, of so many bytes when that is known. Throws a DiskLowError without room for it. */
  async create(size = 0): Promise<SnapshotWriter> {
    if (size > 0 && (await bytesUntilLow(this.#folder, this.#minFreeBytes)) < size) throw new DiskLowError(TOO_FULL);
    this.#created++;
    return SnapshotWriter.create(this.#folder, `${this.#created}${UNFINISHED}`, this.#minFreeBytes);
  }

  /**
   * Reads a snapshot, from an offset in bytes on. It stays readable when it is removed meanwhile. Throws a StorageError when it
   * is gone.
   */
  async read(snapshot: SnapshotRecord, offset = 0): Promise<SnapshotReader> {
    const path = join(this.#folder, nameOf(snapshot));
    try {
      return new SnapshotReader(path, await open(path, "r"), snapshot, offset);
    } catch (error) {
      throw errorCode(error) === "ENOENT" ? damaged(path, "it is missing") : error;
    }
  }

  async remove(snapshot: SnapshotRecord): Promise<void> {
    await rm(join(this.#folder, nameOf(snapshot)), { force: true });
  }
}

/** Writes one snapshot's file. One operation at a time. */
export class SnapshotWriter {
  readonly #folder: string;
  #path: string;
  readonly #file: FileHandle;
  readonly #minFreeBytes: number | undefined;
  readonly #hash = createHash("sha256");
  #size = 0;
  #unsyncedBytes = 0;
  #bytesUntilLow = 0;

  private constructor(folder: string, path: string, file: FileHandle, minFreeBytes: number | undefined) {
    this.#folder = folder;
    this.#path = path;
    this.#file = file;
    this.#minFreeBytes = minFreeBytes;
  }

  static async create(folder: string, name: string, minFreeBytes: number | undefined): Promise<SnapshotWriter> {
    const path = join(folder, name);
    return new SnapshotWriter(folder, path, await open(path, "wx"), minFreeBytes);
  }

  get size(): number {
    return this.#size;
  }

  /** Throws a DiskLowError when the file system has no room for it. */
  async write(chunk: Uint8Array): Promise<void> {
    if (this.#bytesUntilLow < chunk.length) {
      this.#bytesUntilLow = Math.min(SYNC_EVERY_BYTES, await bytesUntilLow(this.#folder, this.#minFreeBytes));
      if (this.#bytesUntilLow < chunk.length) throw new DiskLowError(TOO_FULL);
    }
    await writeWhole(this.#file, chunk);
    this.#hash.update(chunk);
    this.#size += chunk.length;
    this.#bytesUntilLow -= chunk.length;
    this.#unsyncedBytes += chunk.length;
    if (this.#unsyncedBytes < SYNC_EVERY_BYTES) return;
    this.#unsyncedBytes = 0;
    await this.#file.datasync();
  }

  /** Of what was written. Nothing can be written any more. */
  sha256(): Uint8Array {
    return this.#hash.digest();
  }

  /** Gives the file its final name. Durable on return. */
  async finish(snapshot: Pick<SnapshotRecord, "last">): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
    const path = join(this.#folder, nameOf(snapshot));
    await rename(this.#path, path);
    this.#path = path;
    await syncFolder(this.#folder);
  }

  /** Gives it up, also when `finish` has failed. */
  async discard(): Promise<void> {
    await this.#file.close().catch(() => {});
    await rm(this.#path, { force: true });
  }
}

/** Reads one snapshot's file. */
export class SnapshotReader {
  readonly snapshot: SnapshotRecord;
  readonly #path: string;
  readonly #file: FileHandle;
  /** Who reads only the rest holds it against the checksum with what came before. */
  readonly #hash: Hash | undefined;
  #at: number;

  constructor(path: string, file: FileHandle, snapshot: SnapshotRecord, offset: number) {
    this.#path = path;
    this.#file = file;
    this.#at = offset;
    this.#hash = offset === 0 ? createHash("sha256") : undefined;
    this.snapshot = snapshot;
  }

  /**
   * The next bytes, at most so many, in memory of their own; none at the end. Throws a StorageError when what was read isn't
   * what was written, at the latest instead of the end.
   */
  async read(maxBytes: number): Promise<Uint8Array> {
    const { bytesRead, buffer } = await this.#file.read(Buffer.allocUnsafeSlow(maxBytes), 0, maxBytes, this.#at);
    const bytes = buffer.subarray(0, bytesRead);
    this.#hash?.update(bytes);
    this.#at += bytesRead;
    const { size, sha256 } = this.snapshot;
    if (this.#at > size || (bytesRead === 0 && this.#at < size)) {
      throw damaged(this.#path, `it has another size than the ${size} bytes that were put`);
    }
    const isDamaged = bytesRead === 0 && this.#hash?.digest().equals(sha256) === false;
    if (isDamaged) throw damaged(this.#path, "its SHA-256 differs");
    return bytes;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function nameOf({ last }: Pick<SnapshotRecord, "last">): string {
  return `${last.index}-${last.term}`;
}

async function writeWhole(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function checkSize(path: string, { size }: SnapshotRecord): Promise<void> {
  const found = await sizeOf(path);
  if (found === size) return;
  throw damaged(path, found === undefined ? "it is missing" : `it has ${found} bytes and should have ${size}`);
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

function damaged(path: string, detail: string): StorageError {
  return new StorageError("damaged", `the snapshot ${path} is damaged: ${detail}. ${BRING_BACK}`);
}
