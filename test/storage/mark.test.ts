import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { StorageError } from "../../src/storage/error.ts";
import { HighWaterMark } from "../../src/storage/mark.ts";
import { openSqliteStorage } from "../../src/storage/open.ts";
import { readLogState } from "../../src/storage/state-row.ts";
import { StorageChild } from "./child-process.ts";
import {
  commands,
  failureOf,
  makeFolder,
  noOp,
  optionsFor,
  read,
  removeFolder,
  seededRandom,
  write,
} from "./support.ts";

/** Writes that a child gets acknowledged before it is killed. Each has a term of its own, and so is marked at once. */
const ACKNOWLEDGED = 60;

const WAL_HEADER_BYTES = 32;

let folder: string;

beforeEach(async () => {
  folder = await makeFolder();
});

afterEach(() => removeFolder(folder));

async function flipBit(file: string, at: number, bit = 0): Promise<void> {
  const bytes = await readFile(file);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at);
  await writeFile(file, bytes);
}

describe("the high-water mark", () => {
  it("is found again as it was raised last", () => {
    const made = HighWaterMark.create(folder);
    for (const writes of [1, 2, 7, 2 ** 53 - 1]) {
      made.raise(writes);
      const found = HighWaterMark.open(folder);
      expect(found?.writes).toBe(writes);
      found?.close();
    }
    made.close();
  });

  it("falls back to what it was before when its last write is torn, and goes on from there", async () => {
    const made = HighWaterMark.create(folder);
    for (const writes of [3, 4]) made.raise(writes);
    made.close();
    // 3 went to the first slot.
    await flipBit(join(folder, "raft.mark"), 4096);
    const torn = HighWaterMark.open(folder);
    expect(torn?.writes).toBe(3);
    torn?.raise(5);
    torn?.close();
    expect(HighWaterMark.open(folder)?.writes).toBe(5);
  });

  it.each([0, 7, 4096])("is none when its making was cut off after %i bytes", async (length) => {
    HighWaterMark.create(folder).close();
    await truncate(join(folder, "raft.mark"), length);
    if (length > 0) await flipBit(join(folder, "raft.mark"), 0);
    expect(HighWaterMark.open(folder)).toBeUndefined();
  });

  it("asserts that it never falls", () => {
    const mark = HighWaterMark.create(folder);
    mark.raise(2);
    expect(() => mark.raise(1)).toThrow("the mark falls from 2 to 1 writes");
    mark.close();
  });
});

describe("a directory whose process was killed", () => {
  let killed: string;
  let acknowledged = 0;

  beforeAll(async () => {
    killed = await makeFolder();
    const child = new StorageChild("write", killed);
    await child.untilLines(ACKNOWLEDGED);
    await child.kill();
    acknowledged = Number(child.lines.at(-1));
  });

  afterAll(() => removeFolder(killed));

  beforeEach(() => cp(killed, folder, { recursive: true }));

  /** The number of scripted writes found, or the error. */
  async function found(): Promise<number | StorageError> {
    try {
      const storage = await openSqliteStorage(optionsFor(folder));
      await storage.close();
      return storage.recovered.hardState.currentTerm;
    } catch (error) {
      if (error instanceof StorageError) return error;
      throw error;
    }
  }

  const wal = (): string => join(folder, "raft.db-wal");
  const database = (): string => join(folder, "raft.db");

  it.each<[string, () => Promise<void>]>([
    ["deleted", () => rm(wal())],
    ["emptied", () => truncate(wal(), 0)],
    ["cut down to its header", () => truncate(wal(), WAL_HEADER_BYTES)],
    ["damaged in its header", () => flipBit(wal(), 17)],
    ["damaged in its first frame", () => flipBit(wal(), WAL_HEADER_BYTES + 100)],
  ])("is refused when its WAL was %s, and opens with the very file brought back", async (_title, damage) => {
    const before = await readFile(database());
    await damage();
    const damagedWal = existsSync(wal()) ? await readFile(wal()) : Buffer.alloc(0);
    expect(await found()).toMatchObject({
      kind: "damaged",
      message: expect.stringMatching(
        /raft\.db has lost what this node acknowledged: .*raft\.db-wal .*Bring back the very/,
      ),
    });
    // What there is to mend it with is left as it is.
    expect((await readFile(database())).equals(before)).toBe(true);
    expect((await readFile(wal())).equals(damagedWal)).toBe(true);
    await cp(join(killed, "raft.db-wal"), wal());
    expect(await found()).toBeGreaterThanOrEqual(acknowledged);
  });

  it("is refused, or holds all that was acknowledged, wherever its WAL is cut off or has a bit flipped", async () => {
    const random = seededRandom(5);
    const whole = await readFile(wal());
    let refused = 0;
    for (let i = 0; i < 24; i++) {
      await removeFolder(folder);
      await cp(killed, folder, { recursive: true });
      const at = random(whole.length);
      if (i % 2 === 0) await truncate(wal(), i % 4 === 0 ? at - (at % 4096) : at);
      else await flipBit(wal(), at, random(8));
      const result = await found();
      if (result instanceof StorageError) {
        expect(result).toMatchObject({ kind: "damaged", message: expect.stringContaining("has lost what this node") });
        refused++;
      } else {
        expect(result).toBeGreaterThanOrEqual(acknowledged);
      }
    }
    expect(refused).toBeGreaterThan(12);
  });

  it.each<[string, () => Promise<void>, RegExp]>([
    ["deleted", () => rm(database()), /raft\.db .*: it is missing, and \d+ writes to it were synced\. Bring back/],
    [
      "emptied",
      () => truncate(database(), 0),
      /raft\.db .*: it is empty, and \d+ writes to it were synced\. Bring back/,
    ],
  ])("is refused when its database was %s, instead of starting as a new one", async (_title, damage, message) => {
    await damage();
    expect(await found()).toMatchObject({ kind: "damaged", message: expect.stringMatching(message) });
  });

  it.each<[string, () => Promise<void>]>([
    ["deleted", () => rm(join(folder, "raft.mark"))],
    ["damaged in both slots", () => writeFile(join(folder, "raft.mark"), Buffer.alloc(8192))],
  ])("is refused when its mark was %s", async (_title, damage) => {
    await damage();
    expect(await found()).toMatchObject({
      kind: "damaged",
      message: expect.stringMatching(/raft\.mark is missing from .*, or damaged: .*Bring back/),
    });
  });

  it("has all that was found in the database, synced, before it is used: a failed or missing sync made none of it durable", async () => {
    const storage = await openSqliteStorage(optionsFor(folder));
    // By another process: this one would drop the locks.
    const copy = join(folder, "copy");
    execFileSync("cp", [database(), copy]);
    await storage.close();
    const db = new SqliteDatabase(copy);
    expect(readLogState(db).hardState).toEqual(storage.recovered.hardState);
    db.close();
  });

  it("opens when its WAL is gone after another program has brought it into the database", async () => {
    const other = new SqliteDatabase(database());
    other.prepare("SELECT 1 FROM state").get();
    other.close();
    expect(existsSync(wal())).toBe(false);
    expect(await found()).toBeGreaterThanOrEqual(acknowledged);
  });

  it("opens when a loss of power has torn the header of a WAL that starts over", async () => {
    // All of the WAL is in the database, and the WAL is still there: its next header is written over the old one.
    const reader = new SqliteDatabase(database(), { readonly: true });
    const checkpointer = new SqliteDatabase(database());
    reader.prepare("SELECT 1 FROM state").get();
    checkpointer.pragma("wal_checkpoint(FULL)");
    checkpointer.close();
    reader.close();
    const bytes = await readFile(wal());
    await writeFile(wal(), Buffer.concat([bytes.subarray(0, 12), Buffer.alloc(20, 7), bytes.subarray(32)]));
    expect(await found()).toBeGreaterThanOrEqual(acknowledged);
  });
});

it.each(["raft.db", "raft.db-wal", "raft.mark", "lock.db"])(
  "fails within a second once its %s is moved away",
  async (name) => {
    const storage = await openSqliteStorage(optionsFor(folder));
    const failure = failureOf(storage);
    await rename(join(folder, name), join(folder, "aside"));
    expect(await failure).toMatchObject({
      kind: "damaged",
      message: expect.stringContaining(`${name} was deleted or moved while this node used it`),
    });
    await storage.close();
  },
);

it("gives a directory of the first schema its mark, and keeps its log", async () => {
  const before = await openSqliteStorage(optionsFor(folder));
  await write(before, { hardState: { currentTerm: 2, votedFor: "n1" }, frames: [noOp(1, 1), commands(2, 1, 10)] });
  await before.close();
  const db = new SqliteDatabase(join(folder, "raft.db"));
  db.exec("ALTER TABLE state DROP COLUMN writes; DROP TABLE sessions; DROP TABLE snapshots");
  db.pragma("user_version=1");
  db.close();
  await rm(join(folder, "raft.mark"));

  const storage = await openSqliteStorage(optionsFor(folder));
  expect(storage.recovered).toMatchObject({ lastIndex: 11, hardState: { currentTerm: 2, votedFor: "n1" } });
  await write(storage, { frames: [commands(12, 2, 1)] });
  expect(await read(storage, 12, 12)).toHaveLength(1);
  await storage.close();
  const mark = HighWaterMark.open(folder);
  expect(mark?.writes).toBe(1);
  mark?.close();
});
