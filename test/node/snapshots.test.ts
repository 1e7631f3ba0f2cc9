import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import type { NodeState } from "../../src/node/api.ts";
import { Snapshots } from "../../src/node/snapshots.ts";
import { StorageError } from "../../src/storage/error.ts";
import { SnapshotFiles } from "../../src/storage/snapshot-files.ts";
import { SnapshotStore } from "../../src/storage/snapshot-store.ts";
import { makeFolder, removeFolder } from "../storage/support.ts";

/** Real files; the row is written when the test says so. */
const STATE = Buffer.from("state");
const NODE_STATE: NodeState = {
  ...{ id: "n1", term: 1, role: "leader", leader: "n1", leaderAddress: "" },
  ...{ first: 1, commit: 5, applied: 5, last: 5 },
};

let folder: string;
let rows: (() => void)[];
let snapshots: Snapshots;
let damages: StorageError[];
let term: number | undefined;

beforeEach(async () => {
  folder = await makeFolder();
  rows = [];
  const files = await SnapshotFiles.open(folder, [], undefined);
  const store = new SnapshotStore([], files, (_snapshot, _dropUpTo, done) => void rows.push(done));
  damages = [];
  term = 1;
  const node = { state: () => NODE_STATE, termAt: () => term, draining: false };
  snapshots = new Snapshots(node, store, (error) => void damages.push(error));
});

afterEach(() => removeFolder(folder));

async function add(index: number) {
  const adding = (await begin(index)).finish(sha256());
  await untilRows(1);
  rows.pop()?.();
  return adding;
}

async function begin(index: number) {
  const upload = await snapshots.begin({ index, term: 1, format: "f" });
  await upload.write(STATE);
  return upload;
}

function sha256(): Uint8Array {
  return createHash("sha256").update(STATE).digest();
}

async function untilRows(count: number): Promise<void> {
  await expect.poll(() => rows.length).toBe(count);
}

it("a stop waits for the snapshot that is being made to count, and for those that are given up", async () => {
  const [first, second] = [await begin(1), await begin(2)];
  const finished = first.finish(sha256());
  await untilRows(1);
  let isClosed = false;
  const closed = snapshots.close().then(() => {
    isClosed = true;
  });
  await expect(snapshots.begin({ index: 3, term: 1, format: "f" })).rejects.toMatchObject({ reason: "DRAINING" });
  await expect(snapshots.read([], async () => {})).rejects.toMatchObject({ reason: "DRAINING" });
  rows[0]?.();
  expect(await finished).toMatchObject({ last: { index: 1, term: 1 } });
  expect(isClosed).toBe(false);
  await expect(second.finish(sha256())).rejects.toMatchObject({ reason: "DRAINING" });
  expect(isClosed).toBe(false);
  await second.discard();
  await closed;
  expect(snapshots.latest?.last.index).toBe(1);
});

it("a snapshot counts only once its row is written, and the next is added after it", async () => {
  const [first, second] = [await begin(1), await begin(2)];
  const finished = [first.finish(sha256()), second.finish(sha256())];
  await untilRows(1);
  expect(snapshots.latest).toBeUndefined();
  rows[0]?.();
  await finished[0];
  expect(snapshots.latest?.last.index).toBe(1);
  await untilRows(2);
  expect(snapshots.latest?.last.index).toBe(1);
  rows[1]?.();
  await finished[1];
  expect(snapshots.latest?.last.index).toBe(2);
});

it("what an upload stands for has to be durable here, newer than what there is, and of this log", async () => {
  await add(2);
  const refusals: [number, number, string][] = [
    [6, 1, "SNAPSHOT_AHEAD"],
    [2, 1, "SNAPSHOT_OUTDATED"],
    [1, 1, "SNAPSHOT_OUTDATED"],
    [3, 7, "LOG_EPOCH_MISMATCH"],
  ];
  for (const [index, of, reason] of refusals) {
    await expect(snapshots.begin({ index, term: of, format: "f" })).rejects.toMatchObject({ reason });
  }
  term = undefined;
  const compacted = snapshots.begin({ index: 3, term: 0, format: "f" });
  await expect(compacted).rejects.toMatchObject({ reason: "COMPACTED", metadata: { first_index: "1" } });
  term = 4;
  const upload = await snapshots.begin({ index: 3, term: 0, format: "f" });
  await expect(upload.finish(sha256())).rejects.toMatchObject({ reason: "CHECKSUM_MISMATCH", metadata: { size: "0" } });
  await upload.discard();
  expect(damages).toEqual([]);
});

it("so many come and are read at a time, and the places are given back", async () => {
  await expect(snapshots.read([], async () => {})).rejects.toMatchObject({ reason: "NO_SNAPSHOT" });
  await add(1);
  await expect(snapshots.read(["g"], async () => {})).rejects.toMatchObject({
    message: expect.stringContaining("formats g"),
  });
  for (let round = 0; round < 2; round++) {
    const uploads = [await begin(2), await begin(2)];
    await expect(begin(2)).rejects.toMatchObject({ reason: "OVERLOADED", metadata: { limit: "2" } });
    for (const upload of uploads) await upload.discard();
    const { promise: end, resolve } = Promise.withResolvers<void>();
    const readers = Array.from({ length: 16 }, () => snapshots.read(["f"], () => end));
    await expect(snapshots.read([], async () => {})).rejects.toMatchObject({ reason: "OVERLOADED" });
    resolve();
    await Promise.all(readers);
  }
  await snapshots.read(["f"], async (reader) => expect(Buffer.from(await reader.read(100))).toEqual(STATE));
  const broken = snapshots.read([], () => Promise.reject(new Error("the caller's own")));
  await expect(broken).rejects.toThrow("the caller's own");
});

it.each([
  ["ENOSPC", "DISK_LOW", 0],
  ["EDQUOT", "DISK_LOW", 0],
  ["EMFILE", "OVERLOADED", 0],
  ["EIO", "DATA_LOSS", 1],
  ["EROFS", "DATA_LOSS", 1],
])("a file's %s is told as %s, and ends %i nodes", async (code, reason, ends) => {
  const failing = snapshots.failing(() => Promise.reject(Object.assign(new Error("no"), { code })));
  await expect(failing).rejects.toMatchObject({ reason });
  expect(damages).toHaveLength(ends);
});

it("damage ends the node; a missing permission, a bug or a refusal is passed on and ends nothing", async () => {
  const damage = new StorageError("damaged", "altered");
  await expect(snapshots.failing(() => Promise.reject(damage))).rejects.toMatchObject({ reason: "DATA_LOSS" });
  expect(damages).toEqual([damage]);
  const others = [
    Object.assign(new Error("no"), { code: "EACCES" }),
    new InvariantError("a bug"),
    new Failure("DRAINING", ""),
  ];
  for (const error of others) await expect(snapshots.failing(() => Promise.reject(error))).rejects.toBe(error);
  expect(damages).toEqual([damage]);
});

it("a place is given back when there is nowhere to write", async () => {
  await removeFolder(folder);
  for (let i = 0; i < 3; i++) await expect(begin(1)).rejects.toMatchObject({ code: "ENOENT" });
});
