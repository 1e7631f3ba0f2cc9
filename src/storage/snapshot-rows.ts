import type { Database } from "better-sqlite3";
import { rowChecksum } from "./checksum.ts";
import { BRING_BACK, StorageError } from "./error.ts";
import type { SnapshotRecord } from "./storage.ts";

interface Row {
  readonly last_index: number;
  readonly last_term: number;
  readonly format: string;
  readonly size: number;
  readonly sha256: Uint8Array;
  readonly checksum: number;
}

/** The snapshots, oldest first. Throws a StorageError when a row is damaged. */
export function readSnapshots(db: Database): SnapshotRecord[] {
  const rows = db.prepare<[], Row>("SELECT * FROM snapshots ORDER BY last_index").all();
  return rows.map((row) => {
    const snapshot = {
      last: { index: row.last_index, term: row.last_term },
      format: row.format,
      size: row.size,
      sha256: Uint8Array.from(row.sha256),
    };
    if (rowChecksum(valuesOf(snapshot)) === row.checksum) return snapshot;
    const detail = `the checksum of its row for the snapshot at ${row.last_index} differs`;
    throw new StorageError("damaged", `${db.name} is damaged: ${detail}. ${BRING_BACK}`);
  });
}

/** Adds a snapshot, and removes those up to an index. Inside a transaction of the caller's. */
export function writeSnapshot(db: Database, snapshot: SnapshotRecord, dropUpTo: number): void {
  const values = valuesOf(snapshot);
  db.prepare(
    "INSERT INTO snapshots (last_index, last_term, format, size, sha256, checksum) VALUES (?, ?, ?, ?, ?, ?)",
  ).run(...values, rowChecksum(values));
  db.prepare("DELETE FROM snapshots WHERE last_index <= ?").run(dropUpTo);
}

/** The values that the checksum covers, in the order of the columns. */
function valuesOf({ last, format, size, sha256 }: SnapshotRecord): (string | number | Uint8Array)[] {
  return [last.index, last.term, format, size, sha256];
}
