import { createHash } from "node:crypto";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { NodeState } from "../../src/node/api.ts";
import { Snapshots } from "../../src/node/snapshots.ts";
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

beforeEach(async () => {
  folder = await makeFolder();
  rows = [];
  const files = await SnapshotFiles.open(folder, []);
  const store = new SnapshotStore([], files, (_snapshot, _dropUpTo, done) => void rows.push(done));
  const node = { state: () => NODE_STATE, termAt: () => 1, draining: false };
  snapshots = new Snapshots(node, store, (error) => expect.unreachable(String(error)));
});

afterEach(() => removeFolder(folder));

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
