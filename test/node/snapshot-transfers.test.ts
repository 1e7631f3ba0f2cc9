import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import { type SnapshotNode, SnapshotTransfers } from "../../src/node/snapshot-transfers.ts";
import { Snapshots } from "../../src/node/snapshots.ts";
import type { Raft } from "../../src/raft/raft.ts";
import { StorageError } from "../../src/storage/error.ts";
import { SnapshotFiles } from "../../src/storage/snapshot-files.ts";
import type { SnapshotRecord } from "../../src/storage/storage.ts";
import { makeFolder, removeFolder } from "../storage/support.ts";
import {
  answerAll,
  appendEntries,
  commands,
  drain,
  electAndSettle,
  newCore,
  propose,
  receive,
} from "../support/core.ts";
import { HeldStorage, ManualClock, nodeOptions } from "./support.ts";

/** Real files, and a node's snapshots over a core with 5 entries of term 1. Rows are written when the test says so. */
const STATE = Buffer.from("state");

let folder: string;
let disk: HeldStorage;
let clock: ManualClock;
let raft: Raft;
let node: SnapshotNode & { draining: boolean };
let transfers: SnapshotTransfers;
let damages: StorageError[];

beforeEach(async () => {
  folder = await makeFolder();
  disk = new HeldStorage();
  clock = new ManualClock();
  raft = coreWithFiveEntries();
  const snapshots: Snapshots = new Snapshots(raft, disk, clock, nodeOptions(), {
    logId: () => new Uint8Array(16).fill(7),
    onProgress: () => queueMicrotask(() => snapshots.step()),
    onStored: () => {},
  });
  node = { snapshots, draining: false };
  damages = [];
  const files = await SnapshotFiles.open(folder, [], undefined);
  transfers = new SnapshotTransfers(node, files, (error) => void damages.push(error));
});

afterEach(() => removeFolder(folder));

function coreWithFiveEntries(): Raft {
  const core = newCore();
  electAndSettle(core);
  propose(core, 4);
  answerAll(core, drain(core).messages);
  drain(core);
  expect(core.lastApplied).toBe(5);
  return core;
}

async function add(index: number): Promise<SnapshotRecord> {
  const rows = disk.snapshots.length;
  const adding = (await begin(index)).finish(sha256());
  await untilRows(rows + 1);
  disk.sync();
  return adding;
}

async function begin(index: number) {
  const upload = await transfers.begin({ index, term: 1, format: "f" });
  await upload.write(STATE);
  return upload;
}

/** Begins an upload and expects the reason why it can't be. */
async function expectRefusal(index: number, term: number, refusal: { reason: string; metadata?: object }) {
  await expect(transfers.begin({ index, term, format: "f" })).rejects.toMatchObject(refusal);
}

function sha256(): Uint8Array {
  return createHash("sha256").update(STATE).digest();
}

async function untilRows(count: number): Promise<void> {
  await expect.poll(() => disk.snapshots.length).toBe(count);
}

it("a stop waits for the snapshot that is being made to count, and for those that are given up", async () => {
  const [first, second] = [await begin(1), await begin(2)];
  const finished = first.finish(sha256());
  await untilRows(1);
  let isClosed = false;
  const closed = transfers.close().then(() => {
    isClosed = true;
  });
  await expectRefusal(3, 1, { reason: "DRAINING" });
  disk.sync();
  const snapshot = await finished;
  expect(snapshot).toMatchObject({ last: { index: 1, term: 1 } });
  await expect(transfers.read(snapshot, 0, async () => {})).rejects.toMatchObject({ reason: "DRAINING" });
  expect(isClosed).toBe(false);
  await expect(second.finish(sha256())).rejects.toMatchObject({ reason: "DRAINING" });
  expect(isClosed).toBe(false);
  await second.discard();
  await closed;
  expect(transfers.latest?.last.index).toBe(1);
});

it("a node that stops while a row is being written leaves the file, which a start will look for", async () => {
  const finished = (await begin(1)).finish(sha256());
  await untilRows(1);
  node.snapshots.failAll(new Failure("DRAINING", ""));
  const closed = transfers.close();
  disk.sync();
  const snapshot = await finished;
  await closed;
  const found = await SnapshotFiles.open(folder, [snapshot], undefined);
  expect(Buffer.from(await (await found.read(snapshot)).read(100))).toEqual(STATE);
});

it("a node that is about to stop takes nothing in and hands nothing out", async () => {
  const snapshot = await add(1);
  node.draining = true;
  await expectRefusal(2, 1, { reason: "DRAINING" });
  await expect(transfers.openAt(snapshot.last)).rejects.toMatchObject({ reason: "DRAINING" });
});

it("a snapshot counts only once its row is written, and the next is added after it", async () => {
  const [first, second] = [await begin(1), await begin(2)];
  const finished = [first.finish(sha256()), second.finish(sha256())];
  await untilRows(1);
  expect(transfers.latest).toBeUndefined();
  disk.sync();
  await finished[0];
  expect(transfers.latest?.last.index).toBe(1);
  await untilRows(2);
  expect(transfers.latest?.last.index).toBe(1);
  disk.sync();
  await finished[1];
  expect(transfers.latest?.last.index).toBe(2);
});

it("of two that race for one entry the second is outdated, and leaves nothing", async () => {
  const [first, second] = [await begin(2), await begin(2)];
  const finished = [first.finish(sha256()), second.finish(sha256())];
  await untilRows(1);
  disk.sync();
  await finished[0];
  await expect(finished[1]).rejects.toMatchObject({ reason: "SNAPSHOT_OUTDATED", metadata: { snapshot_index: "2" } });
  await second.discard();
  expect(disk.snapshots).toHaveLength(1);
});

it("what an upload stands for has to be durable here, newer than what there is, and of this log", async () => {
  await add(2);
  await expectRefusal(6, 1, { reason: "SNAPSHOT_AHEAD", metadata: { applied_index: "5" } });
  await expectRefusal(2, 1, { reason: "SNAPSHOT_OUTDATED", metadata: { snapshot_index: "2" } });
  await expectRefusal(1, 1, { reason: "SNAPSHOT_OUTDATED", metadata: { snapshot_index: "2" } });
  await expectRefusal(3, 7, { reason: "LOG_EPOCH_MISMATCH", metadata: { term: "7", node_term: "1" } });
  const upload = await transfers.begin({ index: 3, term: 0, format: "f" });
  await expect(upload.finish(sha256())).rejects.toMatchObject({ reason: "CHECKSUM_MISMATCH", metadata: { size: "0" } });
  await upload.discard();
  expect(damages).toEqual([]);
});

it("what is committed but not durable here can't be put yet", async () => {
  receive(raft, appendEntries({ term: 2, prev: { index: 5, term: 1 }, frames: [commands(6, 1, 2)], leaderCommit: 6 }));
  const { write } = raft.takeReady();
  expect([raft.commitIndex, raft.lastApplied]).toEqual([6, 5]);
  await expectRefusal(6, 2, { reason: "SNAPSHOT_AHEAD", metadata: { applied_index: "5" } });
  raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
  drain(raft);
  const upload = await transfers.begin({ index: 6, term: 2, format: "f" });
  await upload.discard();
});

it("while another member's snapshot replaces the log, what it covers is outdated", async () => {
  await add(2);
  receive(raft, appendEntries({ term: 2, prev: { index: 5, term: 1 } }));
  drain(raft);
  const last = { index: 10, term: 2 };
  const part = { last, format: "f", size: 0, sha256: new Uint8Array(32), ownState: new Uint8Array(0) };
  node.snapshots.add({ ...part, keep: (done) => done(undefined) }, () => {});
  await expect.poll(() => raft.durability.isResetting).toBe(true);
  await expectRefusal(3, 1, { reason: "SNAPSHOT_OUTDATED", metadata: { snapshot_index: "10" } });
});

it("the last two are kept, and an older one that is read, until half a minute after", async () => {
  const kept = (): (number | undefined)[] =>
    [1, 2, 3, 4, 5].filter((index) => node.snapshots.get({ index, term: 1 }) !== undefined);
  const reader = await transfers.openAt((await add(1)).last);
  for (const index of [2, 3]) await add(index);
  expect(kept()).toEqual([1, 2, 3]);
  expect(Buffer.from(await reader.read(100))).toEqual(STATE);
  await reader.close();
  clock.advance(29_999);
  await add(4);
  expect(kept()).toEqual([1, 3, 4]);
  expect(node.snapshots.pinnedIndex).toBe(1);
  clock.advance(1);
  await add(5);
  expect(kept()).toEqual([4, 5]);
  expect(() => transfers.get({ index: 1, term: 1 })).toThrow("this node has no snapshot of entry 1 of term 1");
});

it("so many come and are read at a time, and the places are given back", async () => {
  expect(() => transfers.find([])).toThrow(expect.objectContaining({ reason: "NO_SNAPSHOT" }));
  const snapshot = await add(1);
  expect(() => transfers.find(["g"])).toThrow(
    expect.objectContaining({ message: expect.stringContaining("formats g") }),
  );
  expect([transfers.find(["g", "f"]), transfers.find([])]).toEqual([snapshot, snapshot]);
  for (let round = 0; round < 2; round++) {
    const uploads = [await begin(2), await begin(2)];
    await expect(begin(2)).rejects.toMatchObject({ reason: "OVERLOADED", metadata: { limit: "2" } });
    for (const upload of uploads) await upload.discard();
    const { promise: end, resolve } = Promise.withResolvers<void>();
    const readers = Array.from({ length: 16 }, () => transfers.read(snapshot, 0, () => end));
    await expect(transfers.read(snapshot, 0, async () => {})).rejects.toMatchObject({ reason: "OVERLOADED" });
    resolve();
    await Promise.all(readers);
  }
  await transfers.read(snapshot, 0, async (reader) => expect(Buffer.from(await reader.read(100))).toEqual(STATE));
  await transfers.read(snapshot, 2, async (reader) =>
    expect(Buffer.from(await reader.read(100))).toEqual(STATE.subarray(2)),
  );
  const broken = transfers.read(snapshot, 0, () => Promise.reject(new Error("the caller's own")));
  await expect(broken).rejects.toThrow("the caller's own");
});

it.each([
  ["ENOSPC", "DISK_LOW", 0],
  ["EDQUOT", "DISK_LOW", 0],
  ["EMFILE", "OVERLOADED", 0],
  ["EIO", "DATA_LOSS", 1],
  ["EROFS", "DATA_LOSS", 1],
])("a file's %s is told as %s, and ends %i nodes", async (code, reason, ends) => {
  const failing = transfers.failing(() => Promise.reject(Object.assign(new Error("no"), { code })));
  await expect(failing).rejects.toMatchObject({ reason });
  expect(damages).toHaveLength(ends);
});

it("damage ends the node; a missing permission, a bug or a refusal is passed on and ends nothing", async () => {
  const damage = new StorageError("damaged", "altered");
  await expect(transfers.failing(() => Promise.reject(damage))).rejects.toMatchObject({ reason: "DATA_LOSS" });
  expect(damages).toEqual([damage]);
  const others = [
    Object.assign(new Error("no"), { code: "EACCES" }),
    new InvariantError("a bug"),
    new Failure("DRAINING", ""),
  ];
  for (const error of others) await expect(transfers.failing(() => Promise.reject(error))).rejects.toBe(error);
  expect(damages).toEqual([damage]);
});

it("a place is given back when there is nowhere to write", async () => {
  await removeFolder(folder);
  for (let i = 0; i < 3; i++) await expect(begin(1)).rejects.toMatchObject({ code: "ENOENT" });
});
