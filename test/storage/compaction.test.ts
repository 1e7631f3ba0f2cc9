import { readdirSync } from "node:fs";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { EntryId, TermStart } from "../../src/raft/types.ts";
import { openSqliteStorage } from "../../src/storage/open.ts";
import type { SqliteStorage } from "../../src/storage/sqlite-storage.ts";
import type { DiskWrite } from "../../src/storage/storage.ts";
import {
  bytesOf,
  commands,
  compact,
  failureOf,
  LogModel,
  makeFolder,
  makeSnapshotFile,
  noOp,
  optionsFor,
  read,
  removeFolder,
  saveSessions,
  saveSnapshot,
  snapshotOf,
  write,
} from "./support.ts";

let folder: string;
let storage: SqliteStorage;
let model: LogModel;

beforeEach(async () => {
  folder = await makeFolder();
  model = new LogModel();
  await open();
});

afterEach(async () => {
  await storage.close();
  await removeFolder(folder);
});

async function open(): Promise<void> {
  storage = await openSqliteStorage(optionsFor(folder));
}

async function reopen(): Promise<void> {
  await storage.close();
  await open();
}

/** The same in the log and in its model. */
async function turn(fields: Partial<DiskWrite>): Promise<void> {
  const full = { hardState: undefined, truncateFrom: undefined, frames: [], ...fields };
  model.apply(full);
  await write(storage, full);
}

async function compactTo(index: number): Promise<void> {
  await compact(storage, model.compact(index));
}

/** Term 1 is 1-10, term 2 is 11-20, term 3 is 21-30, and there is a snapshot. */
async function fill(covered: EntryId = id(30, 3)): Promise<void> {
  const frames = [noOp(1, 1), commands(2, 1, 9), commands(11, 2, 10), noOp(21, 3), commands(22, 3, 9)];
  await turn({ hardState: { currentTerm: 3, votedFor: "n1" }, frames });
  await saveSnapshot(storage, await makeSnapshotFile(storage, covered));
}

async function resetTo(last: EntryId, fields: Partial<DiskWrite> = {}): Promise<void> {
  const snapshot = await makeSnapshotFile(storage, last);
  await turn({ reset: { snapshot, dropped: storage.recovered.snapshots }, ...fields });
}

/** All that is there, now and after a restart. */
async function expectLog(): Promise<void> {
  await expectEntries();
  await reopen();
  const { hardState, base, lastIndex, termStarts } = model;
  expect(storage.recovered).toMatchObject({ hardState, base, lastIndex, termStarts });
  await expectEntries();
}

async function expectEntries(): Promise<void> {
  const { base, lastIndex } = model;
  if (lastIndex === base.index) return;
  expect(bytesOf(await read(storage, base.index + 1, lastIndex)).equals(bytesOf(model.entries()))).toBe(true);
}

/** Only while the storage is closed. */
function change(sql: string): void {
  const db = new SqliteDatabase(join(folder, "raft.db"));
  expect(db.prepare(sql).run().changes).toBeGreaterThan(0);
  db.close();
}

/** Everything before the base is swept away, but for a row that reaches beyond it. */
async function untilSwept(): Promise<void> {
  const db = new SqliteDatabase(join(folder, "raft.db"), { readonly: true });
  const count = db.prepare<[number], number>("SELECT count(*) FROM frames WHERE last_index <= ?").pluck();
  await expect.poll(() => count.get(model.base.index)).toBe(0);
  db.close();
}

describe("a log that is cut off", () => {
  it.each<[string, number, TermStart[]]>([
    ["in a frame of its first term", 5, [id(6, 1), id(11, 2), id(21, 3)]],
    ["in a frame of a later term", 15, [id(16, 2), id(21, 3)]],
    ["between two terms", 20, [id(21, 3)]],
    ["between two frames of a term", 21, [id(22, 3)]],
    ["before its last entry", 29, [id(30, 3)]],
    ["at its end", 30, []],
  ])("%s has the rest, also after a restart, and goes on", async (_where, index, termStarts) => {
    await fill();
    await compactTo(index);
    expect(model.termStarts).toEqual(termStarts);
    await expectLog();
    await untilSwept();
    await expectLog();
    await turn({ frames: [commands(31, 3, 2)] });
    await turn({ hardState: { currentTerm: 5, votedFor: "" }, frames: [noOp(33, 4), commands(34, 5, 2)] });
    await expectLog();
  });

  it("again and again, with restarts between, begins where it was cut last", async () => {
    await fill();
    for (const index of [5, 10, 12, 20]) {
      await compactTo(index);
      await expectLog();
    }
    await compact(storage, { index: 12, term: 2 });
    await compact(storage, { index: 20, term: 2 });
    await expectLog();
  });

  it("brings nothing of what is gone, or some of it, and fails nothing", async () => {
    await fill();
    await compactTo(15);
    const whole = new LogModel();
    whole.apply({
      hardState: undefined,
      truncateFrom: undefined,
      frames: [noOp(1, 1), commands(2, 1, 9), commands(11, 2, 10)],
    });
    for (const isSwept of [false, true]) {
      if (isSwept) await untilSwept();
      for (const [first, last] of [
        [1, 1],
        [1, 10],
        [3, 18],
        [10, 16],
        [12, 15],
        [14, 20],
      ] as const) {
        const frames = await read(storage, first, last);
        if (frames.length === 0) continue;
        expect(frames[0]?.first).toBe(first);
        expect(bytesOf(frames).equals(bytesOf(whole.entries(first, frames.at(-1)?.last)))).toBe(true);
      }
    }
    expect([await read(storage, 1, 10), await read(storage, 5, 30)]).toEqual([[], []]);
    await expectLog();
  });

  it.each([15, 20])("can be truncated down to its base %i, and appended to again", async (index) => {
    await fill();
    await compactTo(index);
    await turn({ truncateFrom: index + 1 });
    await expectLog();
    await turn({ hardState: { currentTerm: 4, votedFor: "" }, frames: [commands(index + 1, 4, 3)] });
    await expectLog();
    await untilSwept();
    await turn({ truncateFrom: index + 1, frames: [commands(index + 1, 4, 5)] });
    await turn({ truncateFrom: index + 3 });
    await expectLog();
  });

  it("can be truncated in the frame that reaches across its base", async () => {
    await fill();
    await compactTo(13);
    await turn({ truncateFrom: 17, frames: [commands(17, 3, 2)] });
    await expectLog();
    await compactTo(18);
    await expectLog();
  });

  it("is never cut at an entry of another term, nor truncated before its base", async () => {
    await fill();
    await compactTo(15);
    const failing = failureOf(storage);
    storage.compact({ index: 18, term: 3 }, () => {});
    expect((await failing).message).toBe("the log is cut off at 18 of term 3, which is 2 on the disk");
    await reopen();
    const failingAgain = failureOf(storage);
    storage.write({ hardState: undefined, truncateFrom: 15, frames: [] }, () => {});
    expect((await failingAgain).message).toBe("truncation from 15 keeps the log's base 15");
    await reopen();
    await expectLog();
  });

  it("goes on from a checkpoint of the sessions at its base or later, and from none before", async () => {
    await fill();
    await saveSessions(storage, { index: 15, bytes: Uint8Array.of(1) });
    await compactTo(15);
    await reopen();
    expect(storage.recovered.sessions).toEqual({ index: 15, bytes: Uint8Array.of(1) });
    await compactTo(16);
    await reopen();
    expect(storage.recovered.sessions).toBeUndefined();
    await saveSessions(storage, { index: 30, bytes: Uint8Array.of(2) });
    await reopen();
    expect(storage.recovered.sessions?.index).toBe(30);
  });

  it("is not opened without a snapshot that covers its base", async () => {
    await fill();
    await compactTo(15);
    await storage.close();
    change("UPDATE snapshots SET last_index = 14");
    const refusal = {
      kind: "damaged",
      message: expect.stringContaining("begins after 15, and no snapshot covers that"),
    };
    await expect(open()).rejects.toMatchObject(refusal);
    change("UPDATE snapshots SET last_index = 30");
    await open();
    await expectLog();
  });

  it.each([false, true])(
    "is not opened without its first entry (when what was before is swept away: %s)",
    async (isSwept) => {
      await fill();
      await compactTo(15);
      if (isSwept) await untilSwept();
      await storage.close();
      change("UPDATE frames SET first_index = 17 WHERE first_index = 11");
      const refusal = { kind: "damaged", message: expect.stringContaining("damaged at index 16: it is missing") };
      await expect(open()).rejects.toMatchObject(refusal);
      change("UPDATE frames SET first_index = 11 WHERE first_index = 17");
      await open();
      await expectLog();
    },
  );
});

describe("a snapshot that replaces the log", () => {
  it.each<[string, EntryId | undefined, EntryId]>([
    ["that is empty", undefined, id(40, 4)],
    ["that is shorter", id(2, 1), id(40, 4)],
    ["that ends there in another term", id(2, 1), id(30, 4)],
    ["with a frame across its entry", id(2, 1), id(15, 4)],
    ["with a frame that ends there", id(2, 1), id(20, 4)],
    ["with a frame that begins there", id(2, 1), id(21, 4)],
    ["that was cut off before", id(12, 2), id(17, 4)],
    ["that was cut off at its end", id(30, 3), id(31, 4)],
  ])("%s leaves nothing of it, also after a restart, and is gone on from", async (_what, cutAt, last) => {
    if (cutAt !== undefined) await fill(cutAt);
    if (cutAt !== undefined && cutAt.index > 2) await compactTo(cutAt.index);
    await resetTo(last, { hardState: { currentTerm: 5, votedFor: "n2" } });
    await expectLog();
    expect(storage.recovered.snapshots.at(-1)).toEqual(snapshotOf(last));
    const next = last.index + 1;
    await turn({ frames: [commands(next, 4, 3), commands(next + 3, 5, 2)] });
    await expectLog();
    await untilSwept();
    await turn({ truncateFrom: next, frames: [commands(next, 5, 7)] });
    await expectLog();
    await saveSnapshot(storage, await makeSnapshotFile(storage, id(next + 1, 5)));
    await compactTo(next + 1);
    await expectLog();
  });

  it("comes with what follows it in one turn, and drops others with it", async () => {
    await fill();
    await reopen();
    const hardState = { currentTerm: 6, votedFor: "" };
    await resetTo({ index: 35, term: 4 }, { hardState, frames: [noOp(36, 4), commands(37, 6, 3)] });
    await expect.poll(() => readdirSync(join(folder, "snapshots"))).toEqual(["35-4"]);
    await expectLog();
    expect(storage.recovered.snapshots).toEqual([snapshotOf({ index: 35, term: 4 })]);
  });

  it("never takes the log back", async () => {
    await fill();
    await compactTo(15);
    const failing = failureOf(storage);
    const snapshot = snapshotOf({ index: 15, term: 4 });
    storage.write(
      { hardState: undefined, reset: { snapshot, dropped: [] }, truncateFrom: undefined, frames: [] },
      () => {},
    );
    expect((await failing).message).toBe("the log begins after 15, not 15");
    await reopen();
    await expectLog();
  });
});

function id(index: number, term: number): EntryId {
  return { index, term };
}
