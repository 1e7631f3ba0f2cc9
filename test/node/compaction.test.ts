import { describe, expect, it } from "vitest";
import { accepted, appends, grant, rejected } from "../support/core.ts";
import { diskTo, FollowerNode, fetchedOf, namedCommands } from "./follower-node.ts";

const at = (index: number) => ({ index, term: 1 });

const bases = (rig: FollowerNode): number[] => rig.storage.bases.map(({ index }) => index);

/** A node that has applied entries to 6,000. */
function follower(catchUpEntries: number): FollowerNode {
  const rig = new FollowerNode({}, { catchUpEntries });
  rig.follow(6_000);
  return rig;
}

/** Node a leads; its peers have answered everything up to `b` and `c`, 0 for nothing at all. */
function leader(b: number, c: number): FollowerNode {
  const rig = new FollowerNode(diskTo(6_000), { catchUpEntries: 100 });
  rig.confirm(6_000);
  rig.settle();
  const sent = () => rig.transport.sent.splice(0);
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 300 && !rig.transport.sent.some(({ kind }) => kind === "requestVote"); i++) {
      rig.clock.advance(1);
      rig.settle();
    }
    for (const message of sent()) if (message.kind === "requestVote") rig.node.onMessage(grant(message));
    rig.settle();
  }
  expect(rig.node.state().role).toBe("leader");
  for (const request of appends(sent())) {
    const match = request.to === "b" ? b : c;
    if (match > 0) rig.node.onMessage(accepted(request, match));
  }
  rig.settle();
  return rig;
}

/** The node has a copy of a peer's snapshot, while reads from its disk wait. */
function copy(rig: FollowerNode, index: number): void {
  rig.offer(at(index), false);
  const { snapshot, keeps } = fetchedOf(at(index));
  rig.transport.fetched[0]?.done(snapshot);
  keeps[0]?.();
  rig.clock.settle();
  rig.storage.sync();
  rig.clock.settle();
  expect(rig.node.snapshots.latest?.last).toEqual(at(index));
}

describe("a log is cut off", () => {
  it("never without a snapshot", () => {
    const rig = follower(10);
    for (const keepEntries of [undefined, 0]) {
      expect(() => rig.node.compact(keepEntries)).toThrow(expect.objectContaining({ reason: "NO_SNAPSHOT" }));
    }
    expect(bases(rig)).toEqual([]);
  });

  it("so many entries before the newest snapshot, in the core and on the disk", () => {
    const rig = follower(1_000);
    rig.put(5_000);
    expect(bases(rig)).toEqual([4_000]);
    expect(rig.node.state()).toMatchObject({ first: 4_001, applied: 6_000, last: 6_000 });
    expect(rig.storage.bases).toEqual([at(4_000)]);
  });

  it("not for fewer than a thousand, unless that is all there is to cut off", () => {
    const rig = follower(100);
    rig.put(500);
    rig.put(1_400);
    expect(bases(rig)).toEqual([400, 1_300]);
    const held = follower(100);
    held.put(500);
    const pinned = held.node.snapshots.latest;
    if (pinned === undefined) throw new Error("a snapshot is kept");
    held.node.snapshots.pin(pinned);
    held.put(2_000);
    // The reader lets go of a hundred only.
    expect(bases(held)).toEqual([400]);
  });

  it("as far as an operator says, and says where it begins then", () => {
    const rig = follower(10_000);
    rig.put(5_000);
    expect(bases(rig)).toEqual([]);
    expect(rig.node.compact(undefined)).toBe(1);
    expect(rig.node.compact(3_000)).toBe(2_001);
    expect(rig.node.compact(4_000)).toBe(2_001);
    expect(rig.node.compact(0)).toBe(5_001);
    expect(bases(rig)).toEqual([2_000, 5_000]);
    rig.node.stop();
    expect(() => rig.node.compact(0)).toThrow(expect.objectContaining({ reason: "DRAINING" }));
  });

  it("not beyond what somebody needs who reads a snapshot, or read it half a minute ago (PITFALL 41)", () => {
    const rig = follower(100);
    rig.put(2_000);
    const read = rig.node.snapshots.latest;
    if (read === undefined) throw new Error("a snapshot is kept");
    const unpin = rig.node.snapshots.pin(read);
    rig.put(3_000);
    rig.put(6_000);
    expect(rig.node.compact(0)).toBe(2_001);
    unpin();
    rig.clock.jump(29_999);
    expect(rig.node.compact(0)).toBe(2_001);
    rig.clock.jump(1);
    expect(rig.node.compact(0)).toBe(6_001);
  });

  it("not beyond what the session table has taken in (PITFALL 44)", () => {
    const rig = new FollowerNode(diskTo(6_000), { catchUpEntries: 100 });
    rig.confirm(6_000);
    copy(rig, 5_000);
    // The disk hasn't read the log for it yet.
    expect([bases(rig), rig.node.compact(0)]).toEqual([[], 1]);
    rig.settle();
    expect(bases(rig)).toEqual([4_900]);
    expect(rig.fatal).toEqual([]);
  });

  it("not beyond it either where the log grows faster than the table takes it in (PITFALL 44)", () => {
    const rig = new FollowerNode({}, { catchUpEntries: 100, cacheBytes: 1 });
    const commands = namedCommands(2, 5_999, 1);
    rig.follow(1);
    rig.entries.push(commands);
    rig.append([commands]);
    rig.storage.sync();
    rig.clock.settle();
    copy(rig, 5_000);
    // The commands are no longer in memory, and the disk hasn't read them yet.
    expect(rig.node.compact(0)).toBe(2);
    rig.settle();
    expect(rig.node.compact(0)).toBe(5_001);
    expect(rig.fatal).toEqual([]);
  });

  it("not while it is being replaced", () => {
    const rig = follower(100);
    rig.put(500);
    rig.offer(at(9_000), true);
    const { snapshot, keeps } = fetchedOf(at(9_000));
    rig.transport.fetched[0]?.done(snapshot);
    keeps[0]?.();
    rig.clock.settle();
    expect(rig.node.compact(0)).toBe(9_001);
    expect(bases(rig)).toEqual([400]);
    rig.settle();
    expect(bases(rig)).toEqual([400]);
  });
});

describe("a leader cuts off its log", () => {
  it.each([
    ["as far as any node where all have it", 6_001, 6_001, 4_900],
    ["no further than the slowest that it sends entries to has it", 6_001, 4_500, 4_500],
    ["no matter how slow that is once it is kept ten times as many", 6_001, 1_200, 4_000],
    ["without waiting for one that it doesn't reach", 6_001, 0, 4_900],
  ])("%s", (_, b, c, base) => {
    const rig = leader(b, c);
    rig.put(5_000);
    expect(bases(rig)).toEqual([base]);
    expect(rig.fatal).toEqual([]);
  });

  it("and a member that comes back too late is offered the snapshot, and goes on from it (PITFALL 25)", () => {
    const rig = leader(6_001, 0);
    rig.put(5_000);
    const toC = () => {
      rig.transport.sent.length = 0;
      rig.clock.advance(20);
      rig.settle();
      const request = appends(rig.transport.sent, "c").at(-1);
      if (request === undefined) throw new Error("c is asked");
      return request;
    };
    for (let i = 0; i < 2; i++) rig.node.onMessage(rejected(toC(), 3, 1));
    expect(toC()).toMatchObject({ prev: at(4_900), frames: [], offer: { last: at(5_000), isNeeded: true } });
    expect(rig.node.status().peers).toMatchObject([{ id: "b", state: "replicate" }, { state: "snapshot" }]);
    rig.transport.sent.length = 0;
    rig.node.onMessage(accepted({ ...toC() }, 5_000));
    rig.settle();
    const sent = appends(rig.transport.sent, "c").flatMap(({ frames }) => frames.map(({ first }) => first));
    expect(sent[0]).toBeLessThanOrEqual(5_001);
    expect(rig.node.status().peers[1]).toMatchObject({ state: "replicate", match: 5_000 });
  });
});

describe("what is cut off", () => {
  it("is gone for who asks for it in the same turn, and what follows is there", () => {
    const rig = follower(100);
    const results: unknown[] = [];
    const read = (first: number): void => rig.node.readLog(first, 6_000, 10, (result) => results.push(result));
    rig.put(5_000);
    read(4_900);
    read(4_901);
    expect(results).toMatchObject([
      { reason: "COMPACTED", metadata: { first_index: "4901" } },
      [{ first: 4_901, last: 4_901 }],
    ]);
  });

  it("is gone, and not damaged, for a read from the disk that was under way", () => {
    const rig = new FollowerNode(diskTo(6_000), { catchUpEntries: 100 });
    rig.confirm(6_000);
    rig.settle();
    const results: unknown[] = [];
    rig.node.readLog(10, 20, 1_000, (result) => results.push(result));
    rig.clock.settle();
    const [read] = rig.storage.unanswered.splice(0);
    rig.put(5_000);
    read?.done([]);
    expect(results).toMatchObject([{ reason: "COMPACTED" }]);
    rig.append([namedCommands(6_001, 1, 1)]);
    rig.settle();
    expect(rig.fatal).toEqual([]);
  });
});
