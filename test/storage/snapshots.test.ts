import { readdirSync } from "node:fs";
import { rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openSqliteStorage } from "../../src/storage/open.ts";
import type { SnapshotReader } from "../../src/storage/snapshot-files.ts";
import type { SqliteStorage } from "../../src/storage/sqlite-storage.ts";
import type { SnapshotRecord } from "../../src/storage/storage.ts";
import {
  bytesOf,
  commands,
  makeFolder,
  optionsFor,
  read,
  removeFolder,
  saveSessions,
  saveSnapshot,
  seededRandom,
  snapshotOf,
  write,
} from "./support.ts";

let folder: string;
let storage: SqliteStorage;

const open = async (): Promise<void> => {
  storage = await openSqliteStorage(optionsFor(folder));
};
const reopen = async (): Promise<void> => {
  await storage.close();
  await open();
};
const files = (): string[] => readdirSync(join(folder, "snapshots")).sort();
const path = (name: string): string => join(folder, "snapshots", name);

beforeEach(async () => {
  folder = await makeFolder();
  await open();
});

afterEach(async () => {
  await storage.close();
  await removeFolder(folder);
});

describe("the snapshots of a data directory", () => {
  it("are there once they were added, also after a restart, until they are dropped", async () => {
    expect(storage.recovered.snapshots).toEqual([]);
    const added = [await add(10, stateOf(10)), await add(20, stateOf(20))];
    await reopen();
    expect(storage.recovered.snapshots).toEqual(added);
    expect(files()).toEqual(["10-1", "20-1"]);
    added.push(await add(30, stateOf(30), added.splice(0, 1)));
    await expect.poll(files).toEqual(["20-1", "30-1"]);
    await reopen();
    expect(storage.recovered.snapshots).toEqual(added);
    expect(storage.recovered.snapshots[1]).toMatchObject({ last: { index: 30, term: 1 }, format: "f30", size: 3_000 });
    expect(files()).toEqual(["20-1", "30-1"]);
    for (const snapshot of added) expect(await readAll(snapshot)).toEqual(stateOf(snapshot.last.index));
  });

  it("of zero bytes, and of more than is written or synced at a time, are whole", async () => {
    expect(await readAll(await add(1, new Uint8Array(0)))).toEqual(Buffer.alloc(0));
    const large = Buffer.alloc(40 * 1024 * 1024, "a large state ");
    const snapshot = await add(2, large);
    await reopen();
    expect((await readAll(snapshot)).equals(large)).toBe(true);
  });

  it("that are given up leave nothing behind", async () => {
    const writer = await storage.snapshotFiles.create();
    await writer.write(stateOf(7));
    expect(files()).toHaveLength(1);
    await writer.discard();
    expect(files()).toEqual([]);
    await reopen();
    expect(storage.recovered.snapshots).toEqual([]);
  });

  it("for which there is no room are not begun", async () => {
    await expect(storage.snapshotFiles.create(2 ** 50)).rejects.toMatchObject({ name: "DiskLowError" });
    expect(files()).toEqual([]);
  });

  it("that a crash left unfinished, or without their row, are swept away at the next start", async () => {
    await add(10, stateOf(10));
    const unfinished = await storage.snapshotFiles.create();
    await unfinished.write(stateOf(20));
    // Renamed and synced, and the crash comes before the row.
    const nameless = await storage.snapshotFiles.create();
    await nameless.write(stateOf(30));
    await nameless.finish(snapshotOf({ index: 30, term: 1 }, stateOf(30)));
    expect(files()).toHaveLength(3);
    await reopen();
    expect(files()).toEqual(["10-1"]);
    expect(storage.recovered.snapshots).toMatchObject([{ last: { index: 10 } }]);
    await unfinished.discard();
  });

  it("that were replaced in the rows, and whose file a crash left, are swept away at the next start", async () => {
    for (const index of [10, 20]) await add(index, stateOf(index));
    await writeFile(path("5-1"), stateOf(5));
    await writeFile(path("lost+found"), "somebody else's");
    await reopen();
    expect(files()).toEqual(["10-1", "20-1", "lost+found"]);
  });

  it("can be read to the end when they are dropped meanwhile, and then no more", async () => {
    const snapshot = await add(10, stateOf(10));
    const reader = await storage.snapshotFiles.read(snapshot);
    const first = await reader.read(100);
    await add(20, stateOf(20), [snapshot]);
    await expect.poll(files).toEqual(["20-1"]);
    expect(Buffer.concat([first, await rest(reader)])).toEqual(stateOf(10));
    await expect(storage.snapshotFiles.read(snapshot)).rejects.toMatchObject({
      kind: "damaged",
      message: expect.stringContaining("10-1 is damaged: it is missing"),
    });
  });

  it("are read from an offset on", async () => {
    const reader = await storage.snapshotFiles.read(await add(10, stateOf(10)), 900);
    expect(await rest(reader)).toEqual(stateOf(10).subarray(900));
  });

  it.each([
    ["missing", "it is missing", (file: string) => rm(file)],
    ["shorter", "it has 999 bytes and should have 1000", (file: string) => truncate(file, 999)],
    ["longer", "it has 1001 bytes and should have 1000", (file: string) => truncate(file, 1_001)],
  ])("whose file is %s keep the node from starting", async (_what, detail, damage) => {
    const snapshot = await add(10, stateOf(10));
    await storage.close();
    await damage(path("10-1"));
    await expect(open()).rejects.toMatchObject({
      kind: "damaged",
      message: expect.stringContaining(`10-1 is damaged: ${detail}`),
    });
    await writeFile(path("10-1"), stateOf(10));
    await open();
    expect(await readAll(snapshot)).toEqual(stateOf(10));
  });

  it.each([
    ["term", "last_term = 2", "last_term = 1"],
    ["own state", "own_state = x'ff'", "own_state = x'0a01'"],
  ])("whose row was altered keep the node from starting: its %s", async (_what, alteration, repair) => {
    await add(10, stateOf(10));
    await storage.close();
    change(`UPDATE snapshots SET ${alteration}`);
    await expect(open()).rejects.toMatchObject({
      kind: "damaged",
      message: expect.stringContaining("the checksum of its row for the snapshot at 10 differs"),
    });
    change(`UPDATE snapshots SET ${repair}`);
    await open();
  });

  it("of a build that knew no state of the sidecar's own are forgotten, with their checkpoint, and the log is whole", async () => {
    await write(storage, { hardState: { currentTerm: 1, votedFor: "" }, frames: [commands(1, 1, 10)] });
    await saveSessions(storage, { index: 10, bytes: new Uint8Array(1) });
    await add(10, stateOf(10));
    await storage.close();
    change("ALTER TABLE snapshots DROP COLUMN own_state; PRAGMA user_version = 4");
    await open();
    expect(storage.recovered).toMatchObject({ snapshots: [], sessions: undefined, base: { index: 0 }, lastIndex: 10 });
    expect(files()).toEqual([]);
    expect(bytesOf(await read(storage, 1, 10)).equals(commands(1, 1, 10).bytes)).toBe(true);
    const snapshot = await add(10, stateOf(10));
    await reopen();
    expect(storage.recovered.snapshots).toEqual([snapshot]);
  });

  it("whose bytes were altered are found out by whoever reads them, before the end", async () => {
    const snapshot = await add(10, stateOf(10));
    const { size } = snapshot;
    const altered = stateOf(10);
    altered[size - 1] = (altered[size - 1] ?? 0) ^ 1;
    await writeFile(path("10-1"), altered);
    await reopen();
    await expect(readAll(snapshot)).rejects.toMatchObject({
      kind: "damaged",
      message: expect.stringContaining("its SHA-256 differs"),
    });
  });
});

/** A state that is another for each index. */
function stateOf(index: number): Buffer {
  const random = seededRandom(index);
  return Buffer.from(Array.from({ length: index * 100 }, () => random(256)));
}

async function add(index: number, state: Uint8Array, dropped: readonly SnapshotRecord[] = []): Promise<SnapshotRecord> {
  const writer = await storage.snapshotFiles.create();
  const chunk = 1024 * 1024;
  for (let at = 0; at < state.length; at += chunk) await writer.write(state.subarray(at, at + chunk));
  const snapshot = snapshotOf({ index, term: 1 }, state);
  expect(Buffer.from(writer.sha256()).equals(snapshot.sha256)).toBe(true);
  await writer.finish(snapshot);
  await saveSnapshot(storage, snapshot, dropped);
  return snapshot;
}

/** Only while the storage is closed. */
function change(sql: string): void {
  const db = new SqliteDatabase(join(folder, "raft.db"));
  db.exec(sql);
  db.close();
}

async function readAll(snapshot: SnapshotRecord): Promise<Buffer> {
  return rest(await storage.snapshotFiles.read(snapshot));
}

async function rest(reader: SnapshotReader): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  try {
    for (;;) {
      const chunk = await reader.read(64 * 1024);
      if (chunk.length === 0) return Buffer.concat(chunks);
      chunks.push(chunk);
    }
  } finally {
    await reader.close();
  }
}
