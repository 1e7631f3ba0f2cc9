import { crc32 } from "node:zlib";
import type { Database } from "better-sqlite3";
import { StorageError } from "./error.ts";
import type { LogState } from "./state-row.ts";
import type { SessionCheckpoint } from "./storage.ts";

interface Row {
  readonly applied_index: number;
  readonly checksum: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * The checkpoint of the session table; undefined when there is none, or the log begins after it: then the newest snapshot knows
 * more. Throws a StorageError when it is damaged.
 */
export function readSessions(db: Database, { base, last }: LogState): SessionCheckpoint | undefined {
  const row = db.prepare<[], Row>("SELECT applied_index, checksum, bytes FROM sessions").get();
  if (row === undefined) return undefined;
  const { applied_index: index, bytes, checksum } = row;
  if (checksumOf({ index, bytes }) !== checksum) throw damagedSessions(db, "its checksum differs");
  if (index > last.index) throw damagedSessions(db, `it is as of entry ${index}, the log ends at ${last.index}`);
  if (index < base.index) return undefined;
  return { index, bytes: Uint8Array.from(bytes) };
}

/** Replaces the checkpoint. */
export function writeSessions(db: Database, checkpoint: SessionCheckpoint): void {
  db.prepare<[number, number, Uint8Array]>(
    "INSERT OR REPLACE INTO sessions (id, applied_index, checksum, bytes) VALUES (1, ?, ?, ?)",
  ).run(checkpoint.index, checksumOf(checkpoint), checkpoint.bytes);
}

function checksumOf({ index, bytes }: SessionCheckpoint): number {
  return crc32(bytes, crc32(`${index} `));
}

function damagedSessions(db: Database, detail: string): StorageError {
  return new StorageError("damaged", `${db.name} is damaged: of its checkpoint of the sessions, ${detail}`);
}
