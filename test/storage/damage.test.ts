import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import SqliteDatabase from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type OpenOptions, openSqliteStorage } from "../../src/storage/open.ts";
import {
  commands,
  failureOf,
  makeFolder,
  noOp,
  optionsFor,
  read,
  removeFolder,
  saveMember,
  saveSessions,
  write,
} from "./support.ts";

describe("a damaged data directory", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await makeFolder();
  });

  afterEach(() => removeFolder(folder));

  function change(sql: string, ...values: (string | number | Uint8Array)[]): void {
    const db = new SqliteDatabase(join(folder, "raft.db"));
    const { changes } = db.prepare(sql).run(...values);
    db.close();
    expect(changes).toBeGreaterThan(0);
  }

  /** Three frames: a no-op at 1, commands 2-11 of term 1, commands 12-16 of term 2. */
  async function fill(): Promise<void> {
    const storage = await openSqliteStorage(optionsFor(folder));
    await write(storage, {
      hardState: { currentTerm: 2, votedFor: "n1" },
      frames: [noOp(1, 1), commands(2, 1, 10), commands(12, 2, 5)],
    });
    await saveMember(storage, { id: "n2", incarnation: new Uint8Array(16), clientAddress: "", peerAddress: "" });
    await saveSessions(storage, { index: 11, bytes: Uint8Array.of(0) });
    await storage.close();
  }

  function open(options: Partial<OpenOptions> = {}): Promise<never> {
    return openSqliteStorage({ ...optionsFor(folder), ...options }).then(async (storage) => {
      await storage.close();
      throw new Error("it was opened");
    });
  }

  /** Flips one bit of the byte at `offset` of a frame's blob. */
  function flip(column: "bytes" | "checksums", firstIndex: number, offset: number): void {
    const db = new SqliteDatabase(join(folder, "raft.db"));
    const blob = db
      .prepare<[number], Buffer>(`SELECT ${column} FROM frames WHERE first_index = ?`)
      .pluck()
      .get(firstIndex);
    if (blob === undefined) throw new Error("no such frame");
    blob[offset] = (blob[offset] ?? 0) ^ 0x40;
    db.prepare(`UPDATE frames SET ${column} = ? WHERE first_index = ?`).run(blob, firstIndex);
    db.close();
  }

  const recordBytes = commands(2, 1, 1).bytes.length;

  it.each([
    ["in a command", "bytes", 4 * recordBytes - 1, 5],
    ["in a record's tag", "bytes", 6 * recordBytes, 8],
    ["in a record's length", "bytes", 2 * recordBytes + 1, 4],
    ["in the last byte", "bytes", 10 * recordBytes - 1, 11],
    ["in a checksum", "checksums", 4 * 3, 5],
  ] as const)("stops at a flipped bit %s and names the index", async (_title, column, offset, index) => {
    await fill();
    flip(column, 2, offset);
    const storage = await openSqliteStorage(optionsFor(folder));
    storage.read({ first: 2, last: 16, maxBytes: 1e6, isCommitted: true }, () =>
      expect.fail("a damaged row was returned"),
    );
    let doneAfter = false;
    void write(storage, { hardState: { currentTerm: 3, votedFor: "" } });
    const failure = await failureOf(storage);
    expect(failure).toMatchObject({ name: "StorageError", kind: "damaged" });
    expect(failure.message).toContain(`damaged at index ${index}:`);
    void write(storage, { hardState: { currentTerm: 4, votedFor: "" } }).then(() => {
      doneAfter = true;
    });
    await storage.close();
    expect(doneAfter).toBe(false);
  });

  it("still reads the rows beside a damaged one", async () => {
    await fill();
    flip("bytes", 2, 0);
    const storage = await openSqliteStorage(optionsFor(folder));
    expect(await read(storage, 12, 16)).toHaveLength(1);
    await storage.close();
  });

  it.each([
    ["the term", "UPDATE frames SET term = 2 WHERE first_index = 2", 2],
    ["the type", "UPDATE frames SET type = 2 WHERE first_index = 2", 2],
    ["the first index", "UPDATE frames SET first_index = 3, last_index = 12 WHERE first_index = 2", 2],
    ["the last index", "UPDATE frames SET last_index = 10 WHERE first_index = 2", 2],
    ["the whole row", "DELETE FROM frames WHERE first_index = 2", 2],
  ])("stops at a row whose bytes deny %s", async (_title, sql, index) => {
    await fill();
    change(sql);
    // What is checked at the opening depends on the row's place; a read finds all of it.
    const failure = await openSqliteStorage(optionsFor(folder)).then(
      async (storage) => {
        storage.read({ first: 2, last: 16, maxBytes: 1e6, isCommitted: true }, () =>
          expect.fail("a damaged row was returned"),
        );
        const error = await failureOf(storage);
        await storage.close();
        return error;
      },
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ kind: "damaged", message: expect.stringMatching(/damaged at index \d+:/) });
    expect(String(failure)).toMatch(new RegExp(`index (${index}|12):`));
  });

  it("is refused when the last row is damaged or missing: it was written last", async () => {
    await fill();
    flip("bytes", 12, 10);
    await expect(open()).rejects.toMatchObject({ kind: "damaged", message: expect.stringContaining("index 12:") });
    change("DELETE FROM frames WHERE first_index = 12");
    await expect(open()).rejects.toMatchObject({
      kind: "damaged",
      message: expect.stringContaining("index 12: the log should end at 16"),
    });
    change("DELETE FROM frames");
    await expect(open()).rejects.toMatchObject({ kind: "damaged", message: expect.stringContaining("index 1:") });
  });

  it.each([
    ["says a wrong term", "UPDATE term_starts SET term = 3 WHERE first_index = 12"],
    ["says a wrong index", "UPDATE term_starts SET first_index = 11 WHERE first_index = 12"],
    ["misses the last", "DELETE FROM term_starts WHERE first_index = 12"],
    ["misses the first", "DELETE FROM term_starts WHERE first_index = 1"],
    ["has one too many", "INSERT INTO term_starts VALUES (2, 2)"],
  ])("is refused when the table of terms %s", async (_title, sql) => {
    await fill();
    change(sql);
    await expect(open()).rejects.toMatchObject({ kind: "damaged", message: expect.stringContaining("index") });
  });

  it.each([
    ["the term", "UPDATE state SET current_term = 1"],
    ["the vote", "UPDATE state SET voted_for = ''"],
    ["the checksum", "UPDATE state SET checksum = checksum + 1"],
    ["the row", "DELETE FROM state"],
  ])("is refused when %s of the hard state is another", async (_title, sql) => {
    await fill();
    change(sql);
    await expect(open()).rejects.toMatchObject({
      kind: "damaged",
      message: expect.stringContaining("must not vote from this directory again"),
    });
  });

  it.each([
    ["the incarnation", "UPDATE identity SET incarnation = zeroblob(16)", "identity"],
    ["the bootstrap flag", "UPDATE identity SET bootstrapped = 1", "identity"],
    ["the identity", "DELETE FROM identity", "identity"],
    ["a member", "UPDATE members SET peer_address = 'x'", "member n2"],
    ["a session", "UPDATE sessions SET bytes = x'0102'", "sessions"],
    ["the place of the sessions", "UPDATE sessions SET applied_index = 12", "sessions"],
  ])("is refused when %s is another", async (_title, sql, named) => {
    await fill();
    change(sql);
    await expect(open()).rejects.toMatchObject({ kind: "damaged", message: expect.stringContaining(named) });
  });

  it("is refused when the sessions are as of an entry beyond the log", async () => {
    await fill();
    const bytes = Buffer.from("what it holds");
    const db = new SqliteDatabase(join(folder, "raft.db"));
    const checksum = crc32(bytes, crc32("99 "));
    db.prepare("UPDATE sessions SET applied_index = 99, checksum = ?, bytes = ?").run(checksum, bytes);
    db.close();
    await expect(open()).rejects.toMatchObject({ kind: "damaged", message: expect.stringContaining("as of entry 99") });
  });

  it("is refused when the lock is damaged, with the advice to delete it, which costs nothing", async () => {
    await fill();
    const lock = join(folder, "lock.db");
    await writeFile(lock, "not a database".repeat(100));
    await expect(open()).rejects.toMatchObject({
      kind: "damaged",
      message: expect.stringMatching(
        /lock\.db is damaged: .*not a database.* holds nothing.* delete it and start again\.$/,
      ),
    });
    await rm(lock);
    const storage = await openSqliteStorage(optionsFor(folder));
    expect(storage.recovered).toMatchObject({ lastIndex: 16, hardState: { currentTerm: 2 } });
    await storage.close();
  });

  it("is refused when the file is no database", async () => {
    await writeFile(join(folder, "raft.db"), "not a database".repeat(100));
    await expect(open()).rejects.toMatchObject({ kind: "damaged" });
  });
});
