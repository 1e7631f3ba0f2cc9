import { statSync } from "node:fs";
import { join } from "node:path";
import type { Database } from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Frame } from "../../src/raft/types.ts";
import { openReaderConnection, openWriterConnection } from "../../src/storage/connection.ts";
import { LogWriter } from "../../src/storage/log-writer.ts";
import { openSqliteStorage } from "../../src/storage/open.ts";
import { recover } from "../../src/storage/recover.ts";
import type { SqliteStorage } from "../../src/storage/sqlite-storage.ts";
import { Sweeper } from "../../src/storage/sweeper.ts";
import { until } from "../support/wait.ts";
import {
  bytesOf,
  commands,
  compact,
  makeFolder,
  makeSnapshotFile,
  OWNER,
  optionsFor,
  read,
  removeFolder,
  saveSnapshot,
  write,
} from "./support.ts";

const MIB = 1024 * 1024;

let folder: string;

beforeEach(async () => {
  folder = await makeFolder();
});

afterEach(() => removeFolder(folder));

function rowsOf(db: Database): number {
  return db.prepare<[], number>("SELECT count(*) FROM frames").pluck().get() ?? 0;
}

describe("a sweeper", () => {
  let db: Database;
  let writer: LogWriter;

  beforeEach(() => {
    const opened = openWriterConnection(join(folder, "raft.db"));
    db = opened.db;
    recover(db, opened.schema, folder, OWNER);
    writer = new LogWriter(db);
  });

  afterEach(() => db.close());

  function append(frames: readonly Frame[]): void {
    writer.write({ hardState: { currentTerm: 1, votedFor: "" }, truncateFrom: undefined, frames });
  }

  /** How many rows each transaction removes, to the end; `between` is called after the first. */
  async function sweep(between: () => void = () => {}): Promise<number[]> {
    const removed: number[] = [];
    let isAtRest = false;
    const sweeper = new Sweeper(db, writer, (operation) => {
      const before = rowsOf(db);
      operation();
      isAtRest = rowsOf(db) === before;
      if (!isAtRest) removed.push(before - rowsOf(db));
      if (removed.length === 1) between();
    });
    sweeper.wake();
    await until("all is swept away", () => isAtRest);
    sweeper.stop();
    return removed;
  }

  it("removes at most 1,000 rows at a time, oldest first, none that reaches beyond the base, and counts each as a write", async () => {
    append(Array.from({ length: 2_600 }, (_, i) => commands(2 * i + 1, 1, 2)));
    writer.compact({ index: 5_101, term: 1 });
    const writes = writer.writes;
    const firsts: unknown[] = [];
    const first = db.prepare("SELECT min(first_index) FROM frames").pluck();
    expect(await sweep(() => firsts.push(first.get()))).toEqual([1_000, 1_000, 550]);
    expect([firsts[0], first.get(), rowsOf(db)]).toEqual([2_001, 5_101, 50]);
    expect(writer.writes).toBe(writes + 3);
  });

  it("removes at most 4 MiB at a time, and a larger row alone", async () => {
    const frames = [commands(1, 1, 3, MIB), commands(4, 1, 1), commands(5, 1, 6, MIB), commands(11, 1, 1)];
    append([...frames, ...Array.from({ length: 8 }, (_, i) => commands(12 + i, 1, 1, MIB))]);
    writer.compact({ index: 19, term: 1 });
    expect(await sweep()).toEqual([2, 1, 4, 3, 2]);
  });

  it("goes on with what is cut off meanwhile, and sleeps when nothing is", async () => {
    append(Array.from({ length: 1_500 }, (_, i) => commands(i + 1, 1, 1)));
    writer.compact({ index: 1_200, term: 1 });
    expect(await sweep(() => writer.compact({ index: 1_400, term: 1 }))).toEqual([1_000, 400]);
    expect(await sweep()).toEqual([]);
  });
});

describe("a log that is cut off by much", () => {
  let storage: SqliteStorage;

  afterEach(() => storage.close());

  async function open(): Promise<void> {
    storage = await openSqliteStorage(optionsFor(folder));
  }

  function fileMiB(): number {
    return statSync(join(folder, "raft.db")).size / MIB;
  }

  /** Frames of 8 entries, of 64 KiB each. */
  async function fill(frames: number): Promise<void> {
    await open();
    await write(storage, { hardState: { currentTerm: 1, votedFor: "" } });
    for (let i = 0; i < frames; i++) await write(storage, { frames: [commands(8 * i + 1, 1, 8, 64 * 1024)] });
    await saveSnapshot(storage, await makeSnapshotFile(storage, { index: 8 * frames, term: 1 }));
  }

  async function untilRowsLeft(count: number): Promise<void> {
    const db = openReaderConnection(join(folder, "raft.db"));
    await until("the rows are gone", () => rowsOf(db) <= count);
    db.close();
  }

  it("gives its room back to the file system while nothing is written, but for what it will need again (PITFALL 61)", async () => {
    await fill(128);
    expect(fileMiB()).toBeGreaterThan(60);
    await compact(storage, { index: 8 * 120, term: 1 });
    await untilRowsLeft(8);
    await until(
      () => `the file shrinks from ${fileMiB()} MiB`,
      () => fileMiB() < 24,
      10_000,
    );
    expect(fileMiB()).toBeGreaterThan(16);
    await expectRest(128, 120);
  });

  it("does so as well when it is closed and opened again in the middle", async () => {
    await fill(128);
    await compact(storage, { index: 8 * 120, term: 1 });
    await storage.close();
    const db = openReaderConnection(join(folder, "raft.db"));
    expect(rowsOf(db)).toBeGreaterThan(8);
    db.close();
    expect(fileMiB()).toBeGreaterThan(60);
    await open();
    await untilRowsLeft(8);
    await storage.close();
    await open();
    await until(
      () => `the file shrinks from ${fileMiB()} MiB`,
      () => fileMiB() < 24,
      10_000,
    );
    await expectRest(128, 120);
  });

  async function expectRest(frames: number, gone: number): Promise<void> {
    const found = bytesOf(await read(storage, 8 * gone + 1, 8 * frames));
    const expected = Array.from({ length: frames - gone }, (_, i) => commands(8 * (gone + i) + 1, 1, 8, 64 * 1024));
    expect(found.equals(bytesOf(expected))).toBe(true);
    await write(storage, { frames: [commands(8 * frames + 1, 1, 1)] });
  }
});
