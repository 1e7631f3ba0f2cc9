import { existsSync, readFileSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import { openWriterConnection } from "../../src/storage/connection.ts";
import { openSqliteStorage } from "../../src/storage/open.ts";
import { readLogState } from "../../src/storage/state-row.ts";
import { describeStorageContract } from "./contract.ts";
import {
  bytesOf,
  commands,
  failureOf,
  makeFolder,
  makeSnapshotFile,
  noOp,
  optionsFor,
  read,
  removeFolder,
  saveBootstrapped,
  write,
} from "./support.ts";

const MIB = 1024 * 1024;

describeStorageContract("SQLite", async () => {
  const folder = await makeFolder();
  return { open: () => openSqliteStorage(optionsFor(folder)), remove: () => removeFolder(folder) };
});

describe("SQLite storage", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await makeFolder();
  });

  afterEach(() => removeFolder(folder));

  it("syncs every commit, on every open", async () => {
    for (let opening = 0; opening < 2; opening++) {
      await (await openSqliteStorage(optionsFor(folder))).close();
      const { db } = openWriterConnection(join(folder, "raft.db"));
      expect(db.pragma("journal_mode", { simple: true })).toBe("wal");
      expect(db.pragma("synchronous", { simple: true })).toBe(2);
      db.close();
    }
  });

  it("can return space to the file system later", async () => {
    await (await openSqliteStorage(optionsFor(folder))).close();
    inDatabase((db) => expect(db.pragma("auto_vacuum", { simple: true })).toBe(2));
  });

  it("counts one commit for each write", async () => {
    const storage = await openSqliteStorage(optionsFor(folder));
    expect(storage.commits).toBe(0);
    await write(storage, { hardState: { currentTerm: 1, votedFor: "n1" }, frames: [noOp(1, 1), commands(2, 1, 50)] });
    await write(storage, { truncateFrom: 20, frames: [commands(20, 1, 1), commands(21, 1, 1)] });
    await saveBootstrapped(storage);
    expect(storage.commits).toBe(3);
    await storage.close();
  });

  it("closes into one database file", async () => {
    const storage = await openSqliteStorage(optionsFor(folder));
    await write(storage, { hardState: { currentTerm: 1, votedFor: "" }, frames: [commands(1, 1, 10)] });
    await storage.close();
    await expect(readFile(join(folder, "raft.db-wal"))).rejects.toThrow("ENOENT");
  });

  describe("asserts", () => {
    it.each([
      ["a term that falls", { hardState: { currentTerm: 4, votedFor: "" } }, "the stored term falls from 5 to 4"],
      ["a vote that changes", { hardState: { currentTerm: 5, votedFor: "n2" } }, "the vote of term 5 changes"],
      ["a vote that is erased", { hardState: { currentTerm: 5, votedFor: "" } }, "the vote of term 5 changes"],
      ["a gap before a frame", { frames: [commands(5, 5, 1)] }, "a frame at 5 follows the log's last entry 3"],
      ["a frame over an entry", { frames: [commands(3, 5, 1)] }, "a frame at 3 follows the log's last entry 3"],
      ["entries whose term falls", { frames: [commands(4, 2, 1)] }, "a frame of term 2 follows an entry of term 3"],
      ["entries of a term not yet stored", { frames: [commands(4, 6, 1)] }, "term 6 is logged in term 5"],
      ["a truncation of the base", { truncateFrom: 0 }, "truncation from 0 keeps the log's base 0"],
    ])("refuses %s, and nothing is reported done after it", async (_title, turn, message) => {
      const storage = await openSqliteStorage(optionsFor(folder));
      const good = { hardState: { currentTerm: 5, votedFor: "n1" }, frames: [commands(1, 3, 3)] };
      await write(storage, good);
      let doneAfter = 0;
      void write(storage, turn).then(() => doneAfter++);
      void write(storage, { hardState: { currentTerm: 9, votedFor: "n1" } }).then(() => doneAfter++);
      const failure = await failureOf(storage);
      expect(failure).toBeInstanceOf(InvariantError);
      expect(failure.message).toContain(message);
      await storage.close();
      expect(doneAfter).toBe(0);

      const reopened = await openSqliteStorage(optionsFor(folder));
      expect(reopened.recovered).toMatchObject({ hardState: good.hardState, lastIndex: 3 });
      await reopened.close();
    });

    it("tells a failure once, also to a listener that comes late", async () => {
      const storage = await openSqliteStorage(optionsFor(folder));
      void write(storage, { frames: [commands(7, 1, 1)] });
      void write(storage, { frames: [commands(8, 1, 1)] });
      void write(storage, { frames: [commands(9, 1, 1)] });
      await storage.close();
      const failures: Error[] = [];
      storage.onFailure = (error) => failures.push(error);
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(failures).toMatchObject([{ message: "a frame at 7 follows the log's last entry 0" }]);
    });
  });

  it("recovers and extends a log that begins after a base", async () => {
    const base = { index: 2 ** 40, term: 7 };
    const first = base.index + 1;
    const empty = await openSqliteStorage(optionsFor(folder));
    const reset = { snapshot: await makeSnapshotFile(empty, base), dropped: [] };
    await write(empty, { hardState: { currentTerm: 7, votedFor: "" }, reset });
    await empty.close();
    for (const frames of [[commands(first, 7, 3)], [commands(first + 3, 8, 2)]]) {
      const storage = await openSqliteStorage(optionsFor(folder));
      await write(storage, { hardState: { currentTerm: 8, votedFor: "" }, frames });
      await storage.close();
    }
    const storage = await openSqliteStorage(optionsFor(folder));
    expect(storage.recovered).toMatchObject({
      base,
      lastIndex: base.index + 5,
      termStarts: [
        { index: first, term: 7 },
        { index: first + 3, term: 8 },
      ],
    });
    const expected = [commands(first + 1, 7, 2), commands(first + 3, 8, 2)];
    expect(bytesOf(await read(storage, first + 1, first + 4)).equals(bytesOf(expected))).toBe(true);
    await write(storage, { truncateFrom: first, frames: [commands(first, 8, 1)] });
    await storage.close();
    inDatabase((db) => expect(readLogState(db).last).toEqual({ index: first, term: 8 }));
  });

  // Linux counts what a process reads, whether it comes from the disk or from memory.
  it.skipIf(!existsSync("/proc/self/io"))("opens a log of 200,000 entries without reading it", async () => {
    const storage = await openSqliteStorage(optionsFor(folder));
    await write(storage, { hardState: { currentTerm: 2, votedFor: "" } });
    for (let index = 1; index < 200_000; index += 6400) {
      const frames = Array.from({ length: 100 }, (_, i) => commands(index + 64 * i, index < 100_000 ? 1 : 2, 64, 100));
      await write(storage, { frames: frames.filter((frame) => frame.last <= 200_000) });
    }
    await storage.close();
    const emptyFolder = await makeFolder();
    await (await openSqliteStorage(optionsFor(emptyFolder))).close();
    const forEmpty = await bytesReadByOpening(emptyFolder);
    const forFull = await bytesReadByOpening(folder);
    await removeFolder(emptyFolder);
    // Starting the threads reads their code, in both cases. Beyond it, the way to the log's ends is a few pages.
    expect((await stat(join(folder, "raft.db"))).size).toBeGreaterThan(20 * MIB);
    expect(forFull - forEmpty).toBeLessThan(MIB / 4);
  });

  async function bytesReadByOpening(dataDir: string): Promise<number> {
    const before = bytesRead();
    const storage = await openSqliteStorage(optionsFor(dataDir));
    const read = bytesRead() - before;
    await storage.close();
    return read;
  }

  /** By this process so far. */
  function bytesRead(): number {
    return Number(/^rchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1]);
  }

  /** Only while the storage is closed. */
  function inDatabase(use: (db: SqliteDatabase.Database) => void): void {
    const db = new SqliteDatabase(join(folder, "raft.db"));
    try {
      use(db);
    } finally {
      db.close();
    }
  }
});
