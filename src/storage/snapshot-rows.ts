import { crc32 } from "node:zlib";
import type { Database } from "better-sqlite3";
import type { EntryId } from "../raft/types.ts";
import { rowChecksum } from "./checksum.ts";
import { BRING_BACK, StorageError } from "./error.ts";
import type { SnapshotRecord, SnapshotReset } from "./storage.ts";

interface Row {
  readonly last_index: number;
  readonly last_term: number;
  readonly format: string;
  readonly size: number;
  readonly sha256: Uint8Array;
  readonly own_state: Uint8Array;
  readonly checksum: number;
}

/** The snapshots, oldest first. Throws a StorageError when a row is damaged, or none covers the log's base. */
export function readSnapshots(db: Database, base: EntryId): SnapshotRecord[] {
  const rows = db.prepare<[], Row>("SELECT * FROM snapshots ORDER BY last_index").all();
  const newest = rows.at(-1)?.last_index ?? 0;
  if (newest < base.index) throw damaged(db, `its log begins after ${base.index}, and no snapshot covers that`);
  return rows.map((row) => {
    const snapshot = {
      last: { index: row.last_index, term: row.last_term },
      format: row.format,
      size: row.size,
      sha256: Uint8Array.from(row.sha256),
      ownState: Uint8Array.from(row.own_state),
    };
    if (rowChecksum(valuesOf(snapshot)) === row.checksum) return snapshot;
    throw damaged(db, `the checksum of its row for the snapshot at ${row.last_index} differs`);
  });
}

/** Adds a snapshot, and removes others. Inside a transaction of the caller's. */
export function writeSnapshot(db: Database, { snapshot, dropped }: SnapshotReset): void {
  const { last, format, size, sha256, ownState } = snapshot;
  db.prepare(
    "INSERT INTO snapshots (last_index, last_term, format, size, sha256, own_state, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)",
  ).run(last.index, last.term, format, size, sha256, ownState, rowChecksum(valuesOf(snapshot)));
  const remove = db.prepare("DELETE FROM snapshots WHERE last_index = ?");
  for (const { last } of dropped) remove.run(last.index);
}

/** What the checksum covers. */
function valuesOf({ last, format, size, sha256, ownState }: SnapshotRecord): (string | number | Uint8Array)[] {
  return [last.index, last.term, format, size, sha256, crc32(ownState)];
}

function damaged(db: Database, detail: string): StorageError {
  return new StorageError("damaged", `${db.name} is damaged: ${detail}. ${BRING_BACK}`);
}
