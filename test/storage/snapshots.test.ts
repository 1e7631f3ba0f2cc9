import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openSqliteStorage } from "../../src/storage/open.ts";
import type { SnapshotReader } from "../../src/storage/snapshot-files.ts";
import type { SnapshotStore } from "../../src/storage/snapshot-store.ts";
import type { SqliteStorage } from "../../src/storage/sqlite-storage.ts";
import type { SnapshotRecord } from "../../src/storage/storage.ts";
import { makeFolder, optionsFor, removeFolder, seededRandom } from "./support.ts";

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
  it("are there once they were added, also after a restart, and the last two are kept", async () => {
    expect(storage.snapshots.latest).toBeUndefined();
    for (const index of [10, 20, 30]) {
      const added = await add(storage.snapshots, index, stateOf(index));
      expect(storage.snapshots.latest).toEqual(added);
    }
    expect(files()).toEqual(["20-1", "30-1"]);
    await reopen();
    expect(storage.snapshots.latest).toMatchObject({ last: { index: 30, term: 1 }, format: "f30", size: 3_000 });
    expect(files()).toEqual(["20-1", "30-1"]);
    expect(await readAll(storage.snapshots, ["f20"])).toEqual(stateOf(20));
    expect(await readAll(storage.snapshots, [])).toEqual(stateOf(30));
    expect(storage.snapshots.find(["f10", "f40"])).toBeUndefined();
  });

  it("of zero bytes, and of more than is written or synced at a time, are whole", async () => {
    await add(storage.snapshots, 1, new Uint8Array(0));
    expect(await readAll(storage.snapshots, [])).toEqual(Buffer.alloc(0));
    const large = Buffer.alloc(40 * 1024 * 1024, "a large state ");
    await add(storage.snapshots, 2, large);
    await reopen();
    expect((await readAll(storage.snapshots, [])).equals(large)).toBe(true);
  });

  it("that are given up leave nothing behind", async () => {
    const writer = await storage.snapshots.create();
    await writer.write(stateOf(7));
    expect(files()).toHaveLength(1);
    await writer.discard();
    expect(files()).toEqual([]);
    expect(storage.snapshots.latest).toBeUndefined();
  });

  it("that a crash left unfinished, or without their row, are swept away at the next start", async () => {
    await add(storage.snapshots, 10, stateOf(10));
    const unfinished = await storage.snapshots.create();
    await unfinished.write(stateOf(20));
    // Renamed and synced, and the crash comes before the row.
    const nameless = await storage.snapshots.create();
    await nameless.write(stateOf(30));
    await nameless.finish(recordOf(30, stateOf(30)));
    expect(files()).toHaveLength(3);
    await reopen();
    expect(files()).toEqual(["10-1"]);
    expect(storage.snapshots.latest?.last.index).toBe(10);
    await unfinished.discard();
  });

  it("that were replaced in the rows, and whose file a crash left, are swept away at the next start", async () => {
    for (const index of [10, 20]) await add(storage.snapshots, index, stateOf(index));
    await writeFile(path("5-1"), stateOf(5));
    await writeFile(path("lost+found"), "somebody else's");
    await reopen();
    expect(files()).toEqual(["10-1", "20-1", "lost+found"]);
  });

  it("can be read to the end while two newer ones come", async () => {
    await add(storage.snapshots, 10, stateOf(10));
    const snapshot = storage.snapshots.latest as SnapshotRecord;
    const reader = await storage.snapshots.read(snapshot);
    const first = await reader.read(100);
    for (const index of [20, 30]) await add(storage.snapshots, index, stateOf(index));
    expect(files()).toEqual(["20-1", "30-1"]);
    expect(Buffer.concat([first, await rest(reader)])).toEqual(stateOf(10));
  });

  it.each([
    ["missing", "it is missing", (file: string) => rm(file)],
    ["shorter", "it has 999 bytes and should have 1000", (file: string) => truncate(file, 999)],
    ["longer", "it has 1001 bytes and should have 1000", (file: string) => truncate(file, 1_001)],
  ])("whose file is %s keep the node from starting", async (_what, detail, damage) => {
    await add(storage.snapshots, 10, stateOf(10));
    await storage.close();
    await damage(path("10-1"));
    await expect(open()).rejects.toMatchObject({
      kind: "damaged",
      message: expect.stringContaining(`10-1 is damaged: ${detail}`),
    });
    await writeFile(path("10-1"), stateOf(10));
    await open();
    expect(await readAll(storage.snapshots, [])).toEqual(stateOf(10));
  });

  it("whose row was altered keep the node from starting", async () => {
    await add(storage.snapshots, 10, stateOf(10));
    await storage.close();
    const db = new SqliteDatabase(join(folder, "raft.db"));
    db.exec("UPDATE snapshots SET last_term = 2");
    db.close();
    await expect(open()).rejects.toMatchObject({
      kind: "damaged",
      message: expect.stringContaining("the checksum of its row for the snapshot at 10 differs"),
    });
    const again = new SqliteDatabase(join(folder, "raft.db"));
    again.exec("UPDATE snapshots SET last_term = 1");
    again.close();
    await open();
  });

  it("whose bytes were altered are found out by whoever reads them, before the end", async () => {
    const { size } = await add(storage.snapshots, 10, stateOf(10));
    const altered = stateOf(10);
    altered[size - 1] = (altered[size - 1] ?? 0) ^ 1;
    await writeFile(path("10-1"), altered);
    await reopen();
    await expect(readAll(storage.snapshots, [])).rejects.toMatchObject({
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

function recordOf(index: number, state: Uint8Array): SnapshotRecord {
  const sha256 = createHash("sha256").update(state).digest();
  return { last: { index, term: 1 }, format: `f${index}`, size: state.length, sha256: Uint8Array.from(sha256) };
}

async function add(store: SnapshotStore, index: number, state: Uint8Array): Promise<SnapshotRecord> {
  const writer = await store.create();
  const chunk = 1024 * 1024;
  for (let at = 0; at < state.length; at += chunk) await writer.write(state.subarray(at, at + chunk));
  const record = recordOf(index, state);
  expect(Buffer.from(writer.sha256()).equals(record.sha256)).toBe(true);
  await store.add(writer, record);
  return record;
}

async function readAll(store: SnapshotStore, formats: readonly string[]): Promise<Buffer> {
  return rest(await store.read(store.find(formats) as SnapshotRecord));
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
