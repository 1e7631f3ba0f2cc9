import { describe, expect, it } from "vitest";
import { varintSize, writeVarint } from "../../src/frame/varint.ts";
import { decodeOwnState } from "../../src/node/own-state.ts";
import { CursorTable } from "../../src/session/cursor-table.ts";
import { SessionTable } from "../../src/session/session-table.ts";
import { encodeSessions } from "../session/support.ts";
import { commands } from "../support/core.ts";
import { diskTo, FollowerNode, fetchedOf, LOG_ID, ownStateOf, putOf } from "./follower-node.ts";

const at = (index: number, term = 1) => ({ index, term });

/** A node that has applied entries to 9. */
function applied(): FollowerNode {
  const rig = new FollowerNode();
  rig.follow(9);
  return rig;
}

/** The snapshot of everything to `index` has come from b, which says that it is needed, and is durable. */
function replaceLog(rig: FollowerNode, index: number): void {
  const { snapshot, keeps } = fetchedOf(at(index));
  rig.offer(snapshot.last, true);
  rig.transport.fetched.at(-1)?.done(snapshot);
  keeps[0]?.();
  rig.clock.settle();
}

describe("another member's snapshot", () => {
  it("of what is applied here is copied, and the log stays as it is", () => {
    const rig = applied();
    const { snapshot, keeps } = fetchedOf(at(5));
    rig.offer(at(5), false);
    expect(rig.transport.fetched).toMatchObject([{ from: "b", last: at(5) }]);
    rig.transport.fetched[0]?.done(snapshot);
    expect(rig.node.snapshots.latest).toBeUndefined();
    keeps[0]?.();
    const writes = rig.storage.writes.length;
    rig.settle();
    expect(rig.node.snapshots.latest).toMatchObject({ last: at(5), ownState: snapshot.ownState });
    expect({ writes: rig.storage.writes.length, outcomes: rig.outcomes }).toEqual({ writes, outcomes: ["taken"] });
    expect(rig.node.state()).toMatchObject({ first: 1, applied: 9, last: 9 });
  });

  it("is copied from a follower as well, and is not while nobody needs it and it is ahead of this node", () => {
    const rig = applied();
    rig.offer(at(10), false);
    expect(rig.transport.fetched).toEqual([]);
    const answer = { from: "c", to: "a", term: 1, success: true, match: 0, conflict: undefined, sequence: 1 } as const;
    rig.node.onMessage({ kind: "appendEntriesResponse", ...answer, snapshot: at(4) });
    expect(rig.transport.fetched).toMatchObject([{ from: "c", last: at(4) }]);
  });

  it("that is no newer than this node's own is left alone (PITFALL 37)", () => {
    const rig = applied();
    rig.put(5);
    for (const last of [at(5), at(4)]) for (const isNeeded of [true, false]) rig.offer(last, isNeeded);
    expect(rig.transport.fetched).toEqual([]);
  });

  it("that is needed replaces the log, and nothing of it is applied before the disk has it (PITFALL 41)", () => {
    const rig = applied();
    replaceLog(rig, 50);
    const { reset } = rig.storage.writes.at(-1) ?? {};
    expect(reset).toMatchObject({ snapshot: { last: at(50) }, dropped: [] });
    expect(rig.node.state()).toMatchObject({ first: 51, applied: 9, commit: 50 });
    expect(rig.node.snapshots.latest).toBeUndefined();
    expect(rig.outcomes).toEqual([]);
    rig.settle();
    expect(rig.node.state()).toMatchObject({ first: 51, applied: 50, last: 50 });
    expect({ latest: rig.node.snapshots.latest?.last, outcomes: rig.outcomes }).toEqual({
      latest: at(50),
      outcomes: ["taken"],
    });
    rig.append([commands(51, 2, 1)], at(50));
    rig.settle();
    expect(rig.node.state()).toMatchObject({ applied: 52 });
    expect(rig.put(51)).toMatchObject([{ last: at(51) }]);
    expect(rig.fatal).toEqual([]);
  });

  it("brings an empty node the log's identity and its sessions", () => {
    const rig = new FollowerNode();
    const table = new SessionTable();
    table.add({ clientId: "c", sequence: 3 }, at(48));
    const { snapshot, keeps } = fetchedOf(at(50), ownStateOf({ sessions: encodeSessions(table) }));
    rig.offer(at(50), true);
    rig.transport.fetched[0]?.done(snapshot);
    keeps[0]?.();
    rig.settle();
    expect(rig.node.logId).toEqual(LOG_ID);
    rig.append([commands(51, 9, 1)], at(50));
    rig.settle();
    rig.put(55);
    const { sessions } = decodeOwnState(rig.node.snapshots.latest?.ownState ?? new Uint8Array(0));
    expect(sessions).toEqual(encodeSessions(table));
  });

  it("that comes when the log has come as far is a copy like any other (PITFALLS 37, 54)", () => {
    const rig = applied();
    const { snapshot, keeps } = fetchedOf(at(12));
    rig.offer(at(12), true);
    rig.append([commands(10, 5, 1)]);
    rig.transport.fetched[0]?.done(snapshot);
    keeps[0]?.();
    rig.settle();
    expect(rig.storage.writes.some(({ reset }) => reset !== undefined)).toBe(false);
    expect(rig.node.state()).toMatchObject({ first: 1, applied: 14, last: 14 });
    expect(rig.node.snapshots.latest?.last).toEqual(at(12));
  });

  it("commits what a log holds of it that the leader hasn't told of yet, and counts once that is durable", () => {
    const rig = applied();
    rig.receive({ prev: at(9), frames: [commands(10, 5, 1)] });
    const { snapshot, keeps } = fetchedOf(at(12));
    rig.offer(at(12), true);
    rig.transport.fetched[0]?.done(snapshot);
    keeps[0]?.();
    rig.clock.settle();
    expect(rig.node.state()).toMatchObject({ first: 1, applied: 9, commit: 12, last: 14 });
    rig.settle();
    expect(rig.node.state()).toMatchObject({ first: 1, applied: 12, last: 14 });
    expect(rig.node.snapshots.latest?.last).toEqual(at(12));
  });

  it("leaves nothing of what is still being read of the log before (PITFALL 44)", () => {
    const rig = new FollowerNode(diskTo(9), { snapshotBytes: 100 });
    rig.confirm(9);
    replaceLog(rig, 50);
    rig.storage.sync();
    rig.clock.settle();
    expect(rig.node.state()).toMatchObject({ first: 51, applied: 50 });
    rig.answerReads();
    expect(rig.node.snapshots.isWanted).toBe(false);
    expect({ fatal: rig.fatal, logId: rig.node.logId }).toEqual({ fatal: [], logId: LOG_ID });
  });

  it("replaces a log that is still being read for the first time: what a disk can't find any more isn't missed", () => {
    const rig = new FollowerNode(diskTo(9));
    rig.confirm(9);
    replaceLog(rig, 50);
    for (const { done } of rig.storage.unanswered.splice(0)) done([]);
    rig.clock.settle();
    expect({ fatal: rig.fatal, logId: rig.node.logId }).toEqual({ fatal: [], logId: new Uint8Array(0) });
    rig.settle();
    expect({ fatal: rig.fatal, logId: rig.node.logId }).toEqual({ fatal: [], logId: LOG_ID });
    expect(rig.node.state()).toMatchObject({ first: 51, applied: 50 });
  });

  it("of the log's first entries tells its identity where those were not read yet", () => {
    const rig = new FollowerNode(diskTo(9));
    rig.confirm(9);
    expect(rig.node.logId).toHaveLength(0);
    const { snapshot, keeps } = fetchedOf(at(5));
    rig.offer(at(5), false);
    rig.transport.fetched[0]?.done(snapshot);
    keeps[0]?.();
    rig.clock.settle();
    rig.storage.sync();
    rig.clock.settle();
    expect(rig.node.logId).toEqual(LOG_ID);
    rig.settle();
    expect(rig.fatal).toEqual([]);
  });
});

describe("the way of a snapshot", () => {
  it("is taken by one at a time, and again a second after it failed", () => {
    const rig = applied();
    rig.offer(at(5), false);
    rig.offer(at(6), false);
    expect(rig.transport.fetched).toHaveLength(1);
    rig.transport.fetched[0]?.done(new Error("nobody answers"));
    expect(rig.outcomes).toEqual(["nobody answers"]);
    rig.clock.jump(999);
    rig.offer(at(6), false);
    expect(rig.transport.fetched).toHaveLength(1);
    rig.clock.jump(1);
    rig.offer(at(6), false);
    expect(rig.transport.fetched.map(({ last }) => last)).toEqual([at(5), at(6)]);
    const fetched = fetchedOf(at(6));
    rig.transport.fetched[1]?.done(fetched.snapshot);
    fetched.keeps[0]?.(new Error("no room"));
    rig.clock.settle();
    expect({ outcomes: rig.outcomes, discards: fetched.discards }).toEqual({
      outcomes: ["nobody answers", "no room"],
      discards: 1,
    });
  });

  it("ends with the node: what comes then is thrown away", () => {
    const [late, kept, failed] = [applied(), applied(), applied()];
    for (const rig of [late, kept, failed]) rig.offer(at(5), false);
    const [one, two] = [fetchedOf(at(5)), fetchedOf(at(5))];
    kept.transport.fetched[0]?.done(two.snapshot);
    for (const rig of [late, kept, failed]) rig.node.stop();
    late.transport.fetched[0]?.done(one.snapshot);
    failed.transport.fetched[0]?.done(new Error("nobody answers"));
    two.keeps[0]?.();
    kept.settle();
    expect([one.discards, two.discards, kept.node.snapshots.latest]).toEqual([1, 1, undefined]);
    expect([late.outcomes, kept.outcomes, failed.outcomes]).toEqual([[], ["DRAINING"], []]);
  });
});

describe("a snapshot whose row is being written when its node stops", () => {
  it.each([
    ["a copy", 5, false],
    ["one that replaces the log", 50, true],
  ])("keeps its file, which a start will look for: %s", (_, index, isNeeded) => {
    const rig = applied();
    const fetched = fetchedOf(at(index));
    rig.offer(at(index), isNeeded);
    rig.transport.fetched[0]?.done(fetched.snapshot);
    fetched.keeps[0]?.();
    rig.clock.settle();
    const rows = [...rig.storage.snapshots, ...rig.storage.writes.flatMap(({ reset }) => reset?.snapshot ?? [])];
    expect(rows).toMatchObject([{ last: at(index) }]);
    rig.node.stop();
    rig.settle();
    expect({ discards: fetched.discards, outcomes: rig.outcomes, fatal: rig.fatal }).toEqual({
      discards: 0,
      outcomes: ["taken"],
      fatal: [],
    });
  });
});

describe("a snapshot that contradicts this node", () => {
  it("where an entry is committed ends the stream that offers it (PITFALL 38)", () => {
    const rig = applied();
    for (const isNeeded of [true, false]) expect(rig.offer(at(5, 2), isNeeded, { term: 2 })).toContain("entry 5");
    expect(rig.transport.fetched).toEqual([]);
    expect(rig.node.state()).toMatchObject({ first: 1, applied: 9 });
  });

  it("is refused when the entry was committed while it was on its way (PITFALL 38)", () => {
    const rig = applied();
    const { snapshot, keeps, ...fetched } = fetchedOf(at(12, 1));
    rig.offer(at(12, 1), true);
    rig.transport.fetched[0]?.done({ ...snapshot, discard: () => fetched.discards++ });
    rig.append([commands(10, 5, 2)]);
    rig.settle();
    keeps[0]?.();
    rig.settle();
    expect({ outcomes: rig.outcomes, discards: fetched.discards, fatal: rig.fatal }).toEqual({
      outcomes: ["LOG_EPOCH_MISMATCH"],
      discards: 1,
      fatal: [],
    });
    expect(rig.node.state()).toMatchObject({ first: 1, applied: 14 });
  });

  it("is not seen in one that is older than what is about to replace the log", () => {
    const rig = applied();
    replaceLog(rig, 50);
    for (const isNeeded of [true, false]) expect(rig.offer(at(5), isNeeded, { prev: at(50) })).toBeUndefined();
  });

  /** A session's bytes, all numbers below 128: one client "c", and what is remembered of it. */
  const session = (...numbers: number[]): Uint8Array => Uint8Array.of(1, 1, "c".charCodeAt(0), ...numbers);
  const cursorsOf = (cursor: number, generation: number): Uint8Array =>
    ownStateOf({ cursors: new CursorTable([{ name: "s", cursor, generation }]).encode() });
  const table = new SessionTable();
  table.add({ clientId: "c", sequence: 1 }, at(51));
  const newer = new Uint8Array(varintSize(9));
  writeVarint(newer, 0, 9);

  it.each<[string, Uint8Array]>([
    ["bytes that are none", Uint8Array.of()],
    ["another version", newer],
    ["voters of another cluster", ownStateOf({ voters: ["a", "b"] })],
    ["another log", ownStateOf({ logId: new Uint8Array(16).fill(8) })],
    ["bytes that follow it", Buffer.concat([ownStateOf(), Buffer.of(0)])],
    ["no log", ownStateOf({ logId: new Uint8Array(0) })],
    ["sessions that are cut off", ownStateOf({ sessions: Uint8Array.of(3) })],
    ["sessions of later entries", ownStateOf({ sessions: encodeSessions(table) })],
    ["a sequence twice", ownStateOf({ sessions: session(2, 0, 9, 2, 1, 0, 1, 0, 0, 1) })],
    ["a sequence above the last", ownStateOf({ sessions: session(2, 0, 9, 1, 3, 0, 1) })],
    ["an entry before the first", ownStateOf({ sessions: session(2, 0, 9, 1, 1, 9, 1) })],
    ["subscribers that are cut off", ownStateOf({ cursors: Uint8Array.of(3) })],
    ["a cursor of a later entry", cursorsOf(51, 9)],
    ["a stream of a later entry", cursorsOf(9, 51)],
  ])("in its own part is thrown away, and ends no node: %s", (_, ownState) => {
    const rig = applied();
    const fetched = fetchedOf(at(50), ownState);
    rig.offer(at(50), true);
    rig.transport.fetched[0]?.done(fetched.snapshot);
    fetched.keeps[0]?.();
    rig.settle();
    expect({ outcomes: rig.outcomes, discards: fetched.discards, fatal: rig.fatal }).toEqual({
      outcomes: ["INVALID_ARGUMENT"],
      discards: 1,
      fatal: [],
    });
    expect(rig.node.state()).toMatchObject({ first: 1, applied: 9 });
  });
});

describe("a snapshot that an application puts while another is pulled (PITFALL 37)", () => {
  it.each([
    [5, 7, [5, 7], ["stored", "taken"]],
    [7, 5, [7], ["stored", "SNAPSHOT_OUTDATED"]],
  ])("at %i and %i: they are taken in in turn, and never an older one after a newer", (put, pulled, kept, results) => {
    const rig = applied();
    const fetched = fetchedOf(at(pulled));
    rig.offer(at(pulled), false);
    const outcomes: string[] = [];
    const own = putOf(at(put));
    rig.node.snapshots.add(own.snapshot, () => outcomes.push("stored"));
    rig.transport.fetched[0]?.done(fetched.snapshot);
    rig.clock.settle();
    own.keeps[0]?.();
    rig.settle();
    fetched.keeps[0]?.();
    rig.settle();
    expect(rig.storage.snapshots.map(({ last }) => last.index)).toEqual(kept);
    expect([...outcomes, ...rig.outcomes]).toEqual(results);
  });
});
