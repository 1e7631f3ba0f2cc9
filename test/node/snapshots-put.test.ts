import { describe, expect, it } from "vitest";
import { decodeOwnState } from "../../src/node/own-state.ts";
import { decodeSessions } from "../../src/session/checkpoint.ts";
import type { SnapshotRecord } from "../../src/storage/storage.ts";
import {
  diskTo,
  FollowerNode,
  fetchedOf,
  LOG_ID,
  namedCommands,
  ownStateOf,
  putOf,
  recordOf,
} from "./follower-node.ts";

const at = (index: number) => ({ index, term: 1 });

/** The first sequence of client c that the sidecar's part doesn't know. Sequences are the commands' indexes. */
function firstNew(snapshot: SnapshotRecord | undefined): number {
  const { sessions, logId } = decodeOwnState(snapshot?.ownState ?? new Uint8Array(0));
  expect(logId).toEqual(LOG_ID);
  const table = decodeSessions(sessions);
  for (let sequence = 2; ; sequence++) if (table.find({ clientId: "c", sequence }).kind === "new") return sequence;
}

describe("the sidecar's part of a snapshot", () => {
  it("is its state exactly as of the snapshot's entry, however far the log has gone on (PITFALL 36)", () => {
    const rig = new FollowerNode();
    rig.follow(40);
    for (const index of [1, 5, 6, 30, 40]) expect(rig.put(index)).toMatchObject([{ last: at(index) }]);
    expect(rig.storage.snapshots.map(firstNew)).toEqual([2, 6, 7, 31, 41]);
  });

  it("is made from the snapshot that was found at the start, and the log on the disk after it (PITFALL 36)", () => {
    const first = new FollowerNode();
    first.follow(5);
    first.put(5);
    const [before] = first.storage.snapshots;
    if (before === undefined) throw new Error("a snapshot is stored");
    const rig = new FollowerNode({ ...diskTo(40), snapshots: [before] });
    rig.confirm(40);
    rig.settle();
    rig.put(30);
    expect(rig.storage.snapshots.map(firstNew)).toEqual([31]);
    expect(rig.storage.reads.every(({ first: from }) => from === 6)).toBe(true);
  });

  it("takes as many turns as its sessions need, and waits for the log's identity", () => {
    const rig = new FollowerNode(diskTo(20), { sessionEncodeEntries: 1 });
    rig.confirm(20);
    const { snapshot, keeps } = putOf(at(9));
    rig.node.snapshots.add(snapshot, () => {});
    rig.clock.settle();
    // The disk is slow to read the first entry.
    const isFirst = ({ range }: { readonly range: { readonly last: number } }): boolean => range.last === 1;
    const first = rig.storage.unanswered.findIndex(isFirst);
    const [held] = rig.storage.unanswered.splice(first, 1);
    for (let i = 0; i < 5; i++) rig.answerReads();
    expect({ logId: rig.node.logId.length, keeps: keeps.length }).toEqual({ logId: 0, keeps: 0 });
    if (held !== undefined) rig.storage.unanswered.push(held);
    rig.answerReads();
    expect({ logId: rig.node.logId, keeps: keeps.length }).toEqual({ logId: LOG_ID, keeps: 1 });
    keeps[0]?.();
    rig.settle();
    expect(rig.storage.snapshots.map(firstNew)).toEqual([10]);
  });
});

describe("a snapshot that is put", () => {
  it("counts once its file is durable and its row is, and the next is taken in after it", () => {
    const rig = new FollowerNode();
    rig.follow(9);
    const results: unknown[] = [];
    const [one, two] = [putOf(at(4)), putOf(at(6))];
    for (const { snapshot } of [one, two]) rig.node.snapshots.add(snapshot, (result) => results.push(result));
    rig.clock.settle();
    expect([one.keeps.length, two.keeps.length]).toEqual([1, 0]);
    one.keeps[0]?.();
    rig.clock.settle();
    expect({ results, latest: rig.node.snapshots.latest }).toEqual({ results: [], latest: undefined });
    rig.storage.sync();
    rig.clock.settle();
    expect(results).toMatchObject([{ last: at(4) }]);
    expect([one.keeps.length, two.keeps.length]).toEqual([1, 1]);
    two.keeps[0]?.();
    rig.settle();
    expect(rig.node.snapshots.latest?.last).toEqual(at(6));
    rig.offer(at(3), false);
    expect(rig.transport.sent.at(-1)).toMatchObject({ snapshot: at(6) });
  });

  it("that is no newer than one that came first is refused, and so is what could not be kept (PITFALL 37)", () => {
    const rig = new FollowerNode();
    rig.follow(9);
    const results: unknown[] = [];
    const puts = [putOf(at(7)), putOf(at(5)), putOf(at(8)), putOf(at(9))];
    for (const { snapshot } of puts) rig.node.snapshots.add(snapshot, (result) => results.push(result));
    rig.clock.settle();
    puts[0]?.keeps[0]?.();
    rig.settle();
    puts[2]?.keeps[0]?.(new Error("no room"));
    rig.settle();
    puts[3]?.keeps[0]?.();
    rig.settle();
    expect(results).toMatchObject([
      { last: at(7) },
      { reason: "SNAPSHOT_OUTDATED", metadata: { snapshot_index: "7" } },
      { message: "no room" },
      { last: at(9) },
    ]);
    expect(rig.storage.snapshots.map(({ last }) => last.index)).toEqual([7, 9]);
  });

  it("is of an entry that is applied here, newer than the newest, and of the term that is said", () => {
    const rig = new FollowerNode();
    rig.follow(9);
    rig.put(5);
    const { snapshots } = rig.node;
    expect(() => snapshots.check(10, 1)).toThrow(expect.objectContaining({ reason: "SNAPSHOT_AHEAD" }));
    expect(() => snapshots.check(5, 1)).toThrow(expect.objectContaining({ reason: "SNAPSHOT_OUTDATED" }));
    expect(() => snapshots.check(6, 2)).toThrow(expect.objectContaining({ reason: "LOG_EPOCH_MISMATCH" }));
    expect([snapshots.check(6, 1), snapshots.check(9, 0)]).toEqual([at(6), at(9)]);
  });

  it("while the log is being replaced by a later one is outdated (PITFALL 37)", () => {
    const rig = new FollowerNode();
    rig.follow(9);
    const { snapshot, keeps } = fetchedOf({ index: 50, term: 1 });
    rig.offer(snapshot.last, true);
    rig.transport.fetched[0]?.done(snapshot);
    keeps[0]?.();
    rig.clock.settle();
    expect(rig.node.state()).toMatchObject({ first: 51, applied: 9 });
    expect(() => rig.node.snapshots.check(5, 1)).toThrow(expect.objectContaining({ reason: "SNAPSHOT_OUTDATED" }));
    expect(() => rig.node.snapshots.check(10, 1)).toThrow(expect.objectContaining({ reason: "SNAPSHOT_AHEAD" }));
  });

  it("is asked for after so many entries, or so many bytes, since the newest, where another leads after a quarter more", () => {
    const rig = new FollowerNode({}, { snapshotEntries: 8 });
    rig.follow(9);
    expect(rig.node.snapshots.isWanted).toBe(false);
    rig.put(3);
    rig.append([namedCommands(10, 3, 1)]);
    rig.settle();
    expect(rig.node.snapshots.isWanted).toBe(false);
    rig.append([namedCommands(13, 1, 1)]);
    rig.settle();
    expect(rig.node.snapshots.isWanted).toBe(true);
    rig.put(12);
    expect(rig.node.snapshots.isWanted).toBe(false);
    const byBytes = new FollowerNode({}, { snapshotBytes: 80 });
    byBytes.follow(9);
    expect(byBytes.node.snapshots.isWanted).toBe(true);
    byBytes.put(2);
    expect(byBytes.node.snapshots.isWanted).toBe(false);
  });

  it("has an answer when the node ends, at whatever step it is, and also after that (PITFALL 40)", () => {
    const rig = new FollowerNode();
    rig.follow(9);
    const results: unknown[] = [];
    const add = (index: number): void =>
      rig.node.snapshots.add(putOf(at(index)).snapshot, (result) => results.push(result));
    for (const index of [4, 5, 6]) add(index);
    rig.clock.settle();
    rig.node.stop();
    add(7);
    expect(results).toMatchObject(new Array(4).fill({ reason: "DRAINING" }));
    rig.settle();
    expect(results).toHaveLength(4);
  });
});

describe("what is kept", () => {
  const found = recordOf(at(2), ownStateOf());

  /** A node with snapshots at 2 and 4, the newest of which replaces the older one but one. */
  function withTwo(): FollowerNode {
    const rig = new FollowerNode({ ...diskTo(9), snapshots: [found] });
    rig.confirm(9);
    rig.settle();
    rig.put(4);
    return rig;
  }

  const dropped = (rig: FollowerNode): number[] => rig.storage.dropped.map(({ last }) => last.index);

  it("are the two newest, by their format and where they end", () => {
    const rig = withTwo();
    const { snapshots } = rig.node;
    expect(dropped(rig)).toEqual([]);
    expect(snapshots.find([])?.last).toEqual(at(4));
    expect(snapshots.find(["x", "f"], 3)?.last).toEqual(at(4));
    expect([snapshots.find(["x"]), snapshots.find([], 5)]).toEqual([undefined, undefined]);
    expect([snapshots.get(at(2)), snapshots.get({ index: 2, term: 2 })]).toEqual([found, undefined]);
    rig.put(6);
    expect(dropped(rig)).toEqual([2]);
    expect(snapshots.get(at(2))).toBeUndefined();
  });

  it("is also what somebody reads, or read half a minute ago (PITFALL 41)", () => {
    const rig = withTwo();
    const [unpin, unpinOther] = [rig.node.snapshots.pin(found), rig.node.snapshots.pin(found)];
    // To let go twice is to let go once.
    unpin();
    unpin();
    rig.clock.jump(30_000);
    rig.put(5);
    expect(dropped(rig)).toEqual([]);
    unpinOther();
    rig.clock.jump(29_999);
    rig.put(6);
    expect(dropped(rig)).toEqual([4]);
    rig.clock.jump(1);
    expect(rig.node.snapshots.pinnedIndex).toBe(Number.POSITIVE_INFINITY);
    rig.put(7);
    expect(dropped(rig)).toEqual([4, 2, 5]);
  });

  it("is not what the disk is forgetting: nobody begins to read that (PITFALL 41)", () => {
    const rig = withTwo();
    const { snapshot } = putOf(at(6));
    rig.node.snapshots.add({ ...snapshot, keep: (done) => done(undefined) }, () => {});
    rig.answerReads();
    expect(dropped(rig)).toEqual([2]);
    expect(rig.node.snapshots.get(at(2))).toBeUndefined();
    expect(rig.node.snapshots.latest?.last).toEqual(at(4));
  });

  it("stays known, and is forgotten with the next, when its reader leaves while another is stored", () => {
    const rig = withTwo();
    const unpin = rig.node.snapshots.pin(found);
    const { snapshot } = putOf(at(6));
    rig.node.snapshots.add({ ...snapshot, keep: (done) => done(undefined) }, () => {});
    rig.answerReads();
    unpin();
    rig.clock.jump(30_000);
    rig.settle();
    expect(dropped(rig)).toEqual([]);
    expect(rig.node.snapshots.get(at(2))).toEqual(found);
    rig.put(7);
    expect(dropped(rig)).toEqual([2, 4]);
  });
});
