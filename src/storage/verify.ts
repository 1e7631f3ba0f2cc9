import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openReaderConnection } from "./connection.ts";
import { BRING_BACK, StorageError } from "./error.ts";
import { DirectoryLock } from "./lock.ts";
import { LogReader } from "./log-reader.ts";
import { HighWaterMark, MARK_FILE } from "./mark.ts";
import { checkAgainstMark } from "./marked.ts";
import { DATABASE_FILE } from "./open.ts";
import { checkSchema, SCHEMA_VERSION } from "./schema.ts";
import { SnapshotFiles } from "./snapshot-files.ts";
import { readSnapshots } from "./snapshot-rows.ts";
import { readLogState } from "./state-row.ts";
import type { SnapshotRecord } from "./storage.ts";

const READ_BYTES = 1024 * 1024;

/** What was read of a data directory, and is as it was written. */
export interface VerifiedDirectory {
  /** The first entry that was read; one above `last` when there was none. */
  readonly first: number;
  readonly last: number;
  /** Over the entries' bytes, one after the other. */
  readonly sha256: Uint8Array;
  readonly snapshots: readonly SnapshotRecord[];
}

/**
 * Reads all that a data directory holds which no process has open, from entry `from` to `to`, 0 for all, and changes nothing
 * of it. Throws a StorageError for what is damaged, or in use.
 */
export async function verifyDirectory(dataDir: string, from: number, to: number): Promise<VerifiedDirectory> {
  const file = join(dataDir, DATABASE_FILE);
  // Before the lock, which would make a file of its own in whatever directory that is.
  if (!existsSync(file))
    throw new StorageError("refused", `${dataDir} is no data directory: ${DATABASE_FILE} is missing`);
  const lock = DirectoryLock.acquire(dataDir);
  try {
    const mark = HighWaterMark.open(dataDir);
    if (mark === undefined)
      throw new StorageError("damaged", `${MARK_FILE} is missing from ${dataDir}, or damaged. ${BRING_BACK}`);
    checkAgainstMark(file, mark);
    mark.close();
    const { first, last, sha256, snapshots } = verifyDatabase(file, from, to);
    const files = SnapshotFiles.existing(dataDir);
    for (const snapshot of snapshots) {
      const reader = await files.read(snapshot);
      while ((await reader.read(READ_BYTES)).length > 0);
      await reader.close();
    }
    return { first, last, sha256, snapshots };
  } finally {
    lock.release();
  }
}

function verifyDatabase(file: string, from: number, to: number): VerifiedDirectory {
  const db = openReaderConnection(file);
  try {
    const { version } = checkSchema(db);
    if (version !== SCHEMA_VERSION) {
      throw new StorageError(
        "refused",
        `${file} has schema version ${version}: run the build that wrote it, or start this one once`,
      );
    }
    const { base, last } = readLogState(db);
    const snapshots = readSnapshots(db, base);
    const reader = new LogReader(db);
    const hash = createHash("sha256");
    const [first, end] = [Math.max(from, base.index + 1), to === 0 ? last.index : Math.min(to, last.index)];
    for (let at = first; at <= end; ) {
      for (const frame of reader.read({ first: at, last: end, maxBytes: READ_BYTES, isCommitted: true })) {
        hash.update(frame.bytes);
        at = frame.last + 1;
      }
    }
    return { first, last: Math.max(end, first - 1), sha256: hash.digest(), snapshots };
  } finally {
    db.close();
  }
}
