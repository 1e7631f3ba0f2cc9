import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { type DecodedEntry, decodeEntries } from "../../src/frame/codec.ts";
import { type OpenOptions, openSqliteStorage } from "../../src/storage/open.ts";
import type { SqliteStorage } from "../../src/storage/sqlite-storage.ts";
import type { Recovered } from "../../src/storage/storage.ts";
import { bytesOf, failureOf, read } from "../storage/support.ts";
import type { SnapshotContents } from "./script.ts";

const MIB = 1024 * 1024;

/** What the storage finds in a data directory, all of its log included. */
export interface Opened {
  readonly recovered: Recovered;
  readonly snapshots: readonly SnapshotContents[];
  /** The first follows the log's base. */
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
  const { base, lastIndex } = recovered;
  const isEmpty = lastIndex === base.index;
  const frames = isEmpty ? [] : await Promise.race([read(storage, base.index + 1, lastIndex), failed]);
  const snapshots = await readSnapshots(storage);
  await storage.close();
  checkFiles(options.dataDir, snapshots);
  checkDatabase(join(options.dataDir, "raft.db"));
  const entries = frames.flatMap(({ bytes }) => [...decodeEntries(bytes)]);
  const gap = entries.findIndex(({ index }, i) => index !== base.index + i + 1);
  if (gap !== -1 || entries.length !== lastIndex - base.index) {
    throw new Error(`the log after ${base.index} to ${lastIndex} has ${entries.length} entries, entry ${gap} is wrong`);
  }
  return { recovered, snapshots, entries, log: bytesOf(frames) };
}

/** All of them, to their ends: reading one checks it. */
async function readSnapshots({ recovered, snapshotFiles }: SqliteStorage): Promise<SnapshotContents[]> {
  const contents: SnapshotContents[] = [];
  for (const row of recovered.snapshots) {
    const reader = await snapshotFiles.read(row);
    const chunks: Uint8Array[] = [];
    for (let chunk = await reader.read(MIB); chunk.length > 0; chunk = await reader.read(MIB)) chunks.push(chunk);
    await reader.close();
    contents.push({ row, state: Buffer.concat(chunks) });
  }
  return contents;
}

/** Nothing else lies about. */
function checkFiles(dataDir: string, snapshots: readonly SnapshotContents[]): void {
  const files = readdirSync(join(dataDir, "snapshots"));
  if (files.length !== snapshots.length) throw new Error(`of ${snapshots.length} snapshots there are ${files}`);
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
