import { existsSync } from "node:fs";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { type DecodedEntry, decodeEntries } from "../../src/frame/codec.ts";
import { type OpenOptions, openSqliteStorage } from "../../src/storage/open.ts";
import type { Recovered } from "../../src/storage/storage.ts";
import { bytesOf, failureOf, read } from "../storage/support.ts";

/** What the storage finds in a data directory, all of its log included. */
export interface Opened {
  readonly recovered: Recovered;
  /** The first has the index 1. */
  readonly entries: readonly DecodedEntry[];
  /** Their bytes. */
  readonly log: Buffer;
}

/** Opens a directory as a node does, and reads all of it. Throws when anything in it is not whole. */
export async function openWhole(options: OpenOptions): Promise<Opened> {
  const storage = await openSqliteStorage(options);
  const failed = failureOf(storage).then((error) => {
    throw error;
  });
  const { recovered } = storage;
  const frames = recovered.lastIndex === 0 ? [] : await Promise.race([read(storage, 1, recovered.lastIndex), failed]);
  await storage.close();
  checkDatabase(join(options.dataDir, "raft.db"));
  const entries = frames.flatMap(({ bytes }) => [...decodeEntries(bytes)]);
  const gap = entries.findIndex(({ index }, i) => index !== i + 1);
  if (gap !== -1 || entries.length !== recovered.lastIndex) {
    throw new Error(`the log to ${recovered.lastIndex} has ${entries.length} entries and a gap at ${gap + 1}`);
  }
  return { recovered, entries, log: bytesOf(frames) };
}

function checkDatabase(file: string): void {
  if (!existsSync(file)) throw new Error(`${file} is missing after it was opened`);
  const db = new SqliteDatabase(file, { readonly: true });
  try {
    const verdict = db.pragma("integrity_check", { simple: true });
    if (verdict !== "ok") throw new Error(`SQLite's check of ${file} says: ${verdict}`);
  } finally {
    db.close();
  }
}
