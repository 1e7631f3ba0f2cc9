import { describe, expect, it } from "vitest";
import { assert } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import { encodeFrame } from "../../src/frame/codec.ts";
import type { ForwardedProposals } from "../../src/node/transport.ts";
import { EntryType, type Frame } from "../../src/raft/types.ts";
import { CursorTable, type Subscription } from "../../src/session/cursor-table.ts";
import { decodeSubscriptionOp, encodeSubscriptionOp, type SubscriptionOp } from "../../src/session/subscription.ts";
import { FollowerNode, fetchedOf, ownStateOf } from "./follower-node.ts";
import { batchOf } from "./support.ts";

const TIMEOUT_MS = 500;

/** The entry at `index` of term 1. */
function entryOf(index: number, op: SubscriptionOp): Frame {
  return encodeFrame({ index, term: 1 }, EntryType.subscription, [encodeSubscriptionOp(op)]);
}

const openAt = (index: number, name = "s"): Frame => entryOf(index, { kind: "open", name, newCursor: 0 });

/** A follower that has applied the log to 10, where the stream of "s" is opened. Its leader is never missed. */
function follower(): FollowerNode {
  const rig = new FollowerNode({}, { electionTimeoutMinMs: 10_000, electionTimeoutMaxMs: 19_000 });
  rig.follow(9);
  take(rig, openAt(10));
  return rig;
}

/** The entry comes, is committed, and is on the disk. */
function take(rig: FollowerNode, ...frames: Frame[]): void {
  rig.append(frames);
  rig.settle();
}

/** What a call came to: the cursor, or the reason of a failure. */
const outcomeOf = (result: Subscription | Failure | undefined): unknown =>
  result instanceof Failure ? result.reason : (result?.cursor ?? "removed");

function acknowledge(rig: FollowerNode, cursor: number, generation = 10, name = "s"): unknown[] {
  const answers: unknown[] = [];
  rig.node.subscriptions.acknowledge({ name, generation, cursor }, (result) => answers.push(outcomeOf(result)));
  rig.clock.settle();
  return answers;
}

/** Ops that the node has forwarded and that weren't looked at yet. */
function forwarded(rig: FollowerNode): SubscriptionOp[] {
  return rig.transport.forwarded
    .filter(({ request }) => request.kind === "propose")
    .map(({ request }) => decodeSubscriptionOp((request as ForwardedProposals).commands[0] ?? new Uint8Array(0)));
}

/** The leader's answer to what was forwarded last: it is committed there. */
function commitAt(rig: FollowerNode, index: number): void {
  rig.transport.forwarded.at(-1)?.done({ kind: "committed", first: { index, term: 1 } });
  rig.clock.settle();
}

/** The leader's answer to the barrier that was forwarded last. */
function confirmAt(rig: FollowerNode, index: number): void {
  const last = rig.transport.forwarded.at(-1);
  expect(last?.request.kind).toBe("readIndex");
  last?.done({ kind: "readIndex", index, term: 1 });
  rig.clock.settle();
}

/** A node that leads a cluster of itself. */
function alone(): FollowerNode {
  const rig = new FollowerNode(
    { bootstrapVoters: ["a"] },
    { initialMembers: [{ id: "a", peerAddress: "a:1" }], maxProposals: 10_000, maxProposalBytes: 10_000_000 },
  );
  pass(rig, 400);
  expect(rig.node.state().role).toBe("leader");
  return rig;
}

function pass(rig: FollowerNode, ms: number): void {
  for (let i = 0; i < ms; i += 10) {
    rig.clock.advance(10);
    rig.settle();
  }
}

describe("an acknowledgement", () => {
  it("is answered once it is committed and this node has taken it in, and not before", () => {
    const rig = follower();
    const answers = acknowledge(rig, 5);
    rig.clock.advance(1);
    expect(forwarded(rig)).toEqual([{ kind: "acknowledge", cursors: [{ name: "s", generation: 10, cursor: 5 }] }]);
    commitAt(rig, 11);
    expect(answers).toEqual([]);
    const [op] = forwarded(rig);
    assert(op !== undefined, "it is forwarded");
    take(rig, entryOf(11, op));
    expect(answers).toEqual([5]);
  });

  it("shares one entry with all that wait, the highest of each name, and the next one is no sooner than in 250 ms", () => {
    const rig = follower();
    take(rig, openAt(11, "t"));
    const first = acknowledge(rig, 2);
    rig.clock.advance(1);
    const waiting = [acknowledge(rig, 4), acknowledge(rig, 7), acknowledge(rig, 3, 11, "t"), acknowledge(rig, 6)];
    const [op] = forwarded(rig);
    assert(op !== undefined, "the first is forwarded");
    commitAt(rig, 12);
    take(rig, entryOf(12, op));
    expect(first).toEqual([2]);
    rig.clock.advance(248);
    expect(forwarded(rig)).toHaveLength(1);
    rig.clock.advance(3);
    const [, second] = forwarded(rig);
    expect(second).toEqual({
      kind: "acknowledge",
      cursors: [
        { name: "s", generation: 10, cursor: 7 },
        { name: "t", generation: 11, cursor: 3 },
      ],
    });
    assert(second !== undefined, "the others are forwarded");
    commitAt(rig, 13);
    take(rig, entryOf(13, second));
    expect(waiting).toEqual([[7], [7], [3], [7]]);
  });

  it("of what is below the cursor is answered at once, and one of a stream that was replaced is refused", () => {
    const rig = follower();
    take(rig, entryOf(11, { kind: "acknowledge", cursors: [{ name: "s", generation: 10, cursor: 8 }] }));
    expect([acknowledge(rig, 3), acknowledge(rig, 8), acknowledge(rig, 3, 9)]).toEqual([
      [8],
      [8],
      ["SUBSCRIBER_REPLACED"],
    ]);
    rig.clock.advance(300);
    expect(forwarded(rig)).toEqual([]);
  });

  it("that a newer stream overtakes while it waits is refused, and moves nothing", () => {
    const rig = follower();
    const answers = acknowledge(rig, 5);
    rig.clock.advance(1);
    const [op] = forwarded(rig);
    assert(op !== undefined, "it is forwarded");
    take(rig, openAt(11), entryOf(12, op));
    commitAt(rig, 12);
    expect(answers).toEqual(["SUBSCRIBER_REPLACED"]);
    expect(rig.node.subscriptions.list()).toEqual([{ name: "s", cursor: 0, generation: 11 }]);
  });

  it.each([
    ["a generation", 12, 5],
    ["an index", 10, 11],
  ])("of %s that this node hasn't heard of is asked of the leader first", (_, generation, cursor) => {
    const rig = follower();
    const answers = acknowledge(rig, cursor, generation);
    confirmAt(rig, 12);
    expect(answers).toEqual([]);
    take(rig, generation === 12 ? entryOf(11, { kind: "remove", name: "x", upTo: 0 }) : openAt(11, "t"));
    expect(answers).toEqual([]);
    take(rig, generation === 12 ? openAt(12) : openAt(12, "u"));
    rig.clock.advance(1);
    expect(forwarded(rig)).toEqual([{ kind: "acknowledge", cursors: [{ name: "s", generation, cursor }] }]);
  });

  it("beyond what is committed is refused, after the leader was asked", () => {
    const rig = follower();
    const answers = acknowledge(rig, 11);
    expect(answers).toEqual([]);
    confirmAt(rig, 10);
    expect(answers).toEqual(["CURSOR_AHEAD"]);
  });

  it("is answered in the end by a node that hears no more of the log, and the next ones go on", () => {
    const rig = follower();
    const [committed, waits] = [acknowledge(rig, 5), [] as unknown[]];
    rig.clock.advance(1);
    commitAt(rig, 11);
    waits.push(...acknowledge(rig, 12));
    confirmAt(rig, 20);
    rig.clock.advance(TIMEOUT_MS + 1);
    expect(committed).toEqual(["OUTCOME_UNKNOWN"]);
    const next = acknowledge(rig, 6);
    rig.clock.advance(251);
    expect(forwarded(rig)).toHaveLength(2);
    expect(next).toEqual([]);
  });

  it("that waits for what others know is refused by a node that lags, as nothing was appended", () => {
    const rig = follower();
    const answers = acknowledge(rig, 12);
    confirmAt(rig, 20);
    rig.clock.advance(TIMEOUT_MS + 1);
    expect(answers).toEqual(["NOT_APPENDED"]);
  });

  it("gets no entry and a clear refusal beyond 16,384 that wait, and room is made by answers", () => {
    const rig = follower();
    const answers: unknown[] = [];
    const done = (result: Subscription | Failure | undefined): void => void answers.push(outcomeOf(result));
    const { subscriptions } = rig.node;
    for (let i = 0; i < 16_385; i++) subscriptions.acknowledge({ name: "s", generation: 10, cursor: 5 }, done);
    subscriptions.open("t", 0, done);
    subscriptions.remove("s", 100, done);
    expect(answers).toEqual(["OVERLOADED", "OVERLOADED", "OVERLOADED"]);
    rig.clock.advance(1);
    rig.transport.forwarded.at(-1)?.done({ kind: "lost" });
    expect(answers.length).toBe(16_387);
    expect(new Set(answers.slice(3))).toEqual(new Set(["OUTCOME_UNKNOWN"]));
    subscriptions.acknowledge({ name: "s", generation: 10, cursor: 0 }, done);
    expect(answers.at(-1)).toBe(0);
  });

  it("goes on when the disk is low, as it lets the log be cut off", () => {
    const rig = alone();
    const opened: unknown[] = [];
    rig.storage.onUsage({ freeBytes: 1, limitBytes: 100, totalBytes: 1_000, usedBytes: 10 });
    const refused = batchOf(1);
    rig.node.propose(refused);
    rig.node.subscriptions.open("s", 0, (result) => opened.push(result));
    rig.settle();
    expect(refused.answers).toEqual(["DISK_LOW"]);
    expect(opened).toMatchObject([{ name: "s", cursor: 0 }]);
    const answers = acknowledge(rig, 1, (opened[0] as Subscription).generation);
    pass(rig, 20);
    expect(answers).toEqual([1]);
  });
});

describe("a node that ends", () => {
  it("answers every call, says of none that is committed that it isn't, and leaves no timer", () => {
    const rig = follower();
    const [flushed, opened, removed]: unknown[][] = [acknowledge(rig, 5), [], []];
    rig.clock.advance(1);
    commitAt(rig, 11);
    rig.node.subscriptions.open("t", 0, (result) => opened?.push(outcomeOf(result)));
    rig.clock.settle();
    commitAt(rig, 12);
    rig.node.subscriptions.remove("s", 100, (result) => removed?.push(outcomeOf(result)));
    rig.clock.settle();
    const [waiting, behind, asking] = [acknowledge(rig, 6), acknowledge(rig, 14), acknowledge(rig, 15)];
    rig.node.stop();
    rig.clock.settle();
    expect({ flushed, opened, removed }).toEqual({
      flushed: ["OUTCOME_UNKNOWN"],
      opened: ["OUTCOME_UNKNOWN"],
      removed: ["OUTCOME_UNKNOWN"],
    });
    expect([waiting, behind, asking]).toEqual([["DRAINING"], ["DRAINING"], ["DRAINING"]]);
    expect(acknowledge(rig, 7)).toEqual(["DRAINING"]);
    rig.clock.jump(60);
    expect(rig.clock.timers).toBe(0);
  });

  it("does not come back to the acknowledgements that wait for their time", () => {
    const rig = follower();
    const first = acknowledge(rig, 2);
    rig.clock.advance(1);
    const [op] = forwarded(rig);
    assert(op !== undefined, "it is forwarded");
    commitAt(rig, 11);
    take(rig, entryOf(11, op));
    const waiting = acknowledge(rig, 5);
    rig.node.stop();
    rig.clock.jump(60);
    expect([first, waiting, rig.clock.timers]).toEqual([[2], ["DRAINING"], 0]);
  });

  it("and drains refuses what wasn't proposed yet", () => {
    const rig = follower();
    let isDrained = false;
    const waiting = acknowledge(rig, 5);
    rig.node.drain(() => {
      isDrained = true;
    });
    rig.clock.advance(1);
    expect({ waiting, isDrained }).toEqual({ waiting: ["DRAINING"], isDrained: true });
  });
});

describe("a stream that is opened", () => {
  function open(rig: FollowerNode, name: string): unknown[] {
    const answers: unknown[] = [];
    rig.node.subscriptions.open(name, 0, (result) =>
      answers.push(result instanceof Failure ? result.reason : result.generation),
    );
    rig.clock.settle();
    return answers;
  }

  it("has the index of its entry as its generation, once this node has taken that in", () => {
    const rig = follower();
    const answers = open(rig, "s");
    commitAt(rig, 11);
    expect(answers).toEqual([]);
    take(rig, openAt(11));
    expect(answers).toEqual([11]);
  });

  it("is replaced at once where a newer one, or a removal, was taken in before its answer came", () => {
    const rig = follower();
    const [replaced, removed] = [open(rig, "s"), open(rig, "t")];
    take(rig, openAt(11), openAt(12, "t"), openAt(13), entryOf(14, { kind: "remove", name: "t", upTo: 100 }));
    for (const [i, { done }] of rig.transport.forwarded.entries()) {
      done({ kind: "committed", first: { index: 11 + i, term: 1 } });
    }
    expect([replaced, removed]).toEqual([["SUBSCRIBER_REPLACED"], ["SUBSCRIBER_REPLACED"]]);
  });

  it("by a name too many is refused with the limit", () => {
    const rig = alone();
    const answers = Array.from({ length: 1_000 }, (_, i) => open(rig, `${i}`));
    for (let i = 0; i < 300; i++) rig.settle();
    expect(answers.every(([generation]) => typeof generation === "number")).toBe(true);
    const { last } = rig.node.state();
    const more = open(rig, "one more");
    rig.settle();
    expect([more, rig.node.state().last]).toEqual([["OVERLOADED"], last]);
    rig.node.subscriptions.remove("7", 10_000, () => {});
    rig.settle();
    const again = open(rig, "one more");
    rig.settle();
    expect(again).toEqual([expect.any(Number)]);
  });

  it("as the one too many, which this node hears of only by its entry, is refused with the limit as well", () => {
    const rig = follower();
    const answers = open(rig, "one more");
    take(rig, ...Array.from({ length: 999 }, (_, i) => openAt(11 + i, `${i}`)), openAt(1_010, "one more"));
    rig.transport.forwarded.at(-1)?.done({ kind: "committed", first: { index: 1_010, term: 1 } });
    expect(answers).toEqual(["OVERLOADED"]);
    expect(open(rig, "s")).toEqual([]);
    expect(forwarded(rig).at(-1)).toEqual({ kind: "open", name: "s", newCursor: 0 });
  });

  it("ends the older streams of its name on this node, once each, and no other", () => {
    const rig = follower();
    const ended: string[] = [];
    const watch = (what: string, generation: number, name = "s") =>
      rig.node.subscriptions.watch({ name, generation, cursor: 0 }, ({ reason }) => ended.push(`${what} ${reason}`));
    const stop = [watch("first", 10), watch("gone", 10)];
    stop[1]?.();
    take(rig, openAt(11, "t"));
    watch("other", 11, "t");
    expect(ended).toEqual([]);
    take(rig, openAt(12));
    expect(ended).toEqual(["first SUBSCRIBER_REPLACED"]);
    stop[0]?.();
    watch("late", 10);
    expect(ended).toEqual(["first SUBSCRIBER_REPLACED", "late SUBSCRIBER_REPLACED"]);
    watch("newest", 12);
    take(rig, entryOf(13, { kind: "acknowledge", cursors: [{ name: "s", generation: 12, cursor: 9 }] }));
    take(rig, entryOf(14, { kind: "remove", name: "s", upTo: 8 }));
    expect(ended.filter((line) => line.startsWith("newest"))).toEqual([]);
    take(rig, entryOf(15, { kind: "remove", name: "s", upTo: 9 }));
    expect(ended.filter((line) => line.startsWith("newest"))).toEqual(["newest SUBSCRIBER_REPLACED"]);
  });
});

describe("a removal", () => {
  function remove(rig: FollowerNode, name: string): unknown[] {
    const answers: unknown[] = [];
    rig.node.subscriptions.remove(name, 100, (result) => answers.push(outcomeOf(result)));
    rig.clock.settle();
    return answers;
  }

  it("of a name that this node hasn't heard of is asked of the leader first", () => {
    const rig = follower();
    const [known, unknown] = [remove(rig, "t"), remove(rig, "u")];
    for (const { done } of rig.transport.forwarded.slice()) done({ kind: "readIndex", index: 11, term: 1 });
    rig.clock.settle();
    expect([known, unknown]).toEqual([[], []]);
    take(rig, openAt(11, "t"));
    expect(unknown).toEqual(["NO_SUBSCRIBER"]);
    expect(forwarded(rig)).toEqual([{ kind: "remove", name: "t", upTo: 100 }]);
    commitAt(rig, 12);
    take(rig, entryOf(12, { kind: "remove", name: "t", upTo: 100 }));
    expect(known).toEqual(["removed"]);
  });
});

describe("a snapshot that replaces the log", () => {
  it("ends the streams that it knows as replaced, and answers what waited for what it stands for", () => {
    const rig = follower();
    take(rig, openAt(11, "t"));
    const ended: string[] = [];
    for (const [name, generation] of [
      ["s", 10],
      ["t", 11],
    ] as const) {
      rig.node.subscriptions.watch({ name, generation, cursor: 0 }, () => ended.push(name));
    }
    const answers = acknowledge(rig, 5, 11, "t");
    rig.clock.advance(1);
    commitAt(rig, 30);
    const cursors = new CursorTable([
      { name: "s", cursor: 0, generation: 20 },
      { name: "t", cursor: 5, generation: 11 },
    ]);
    const { snapshot, keeps } = fetchedOf({ index: 40, term: 1 }, ownStateOf({ cursors: cursors.encode() }));
    rig.offer(snapshot.last, true);
    rig.transport.fetched.at(-1)?.done(snapshot);
    keeps[0]?.();
    rig.clock.settle();
    expect([ended, answers]).toEqual([[], []]);
    rig.settle();
    expect([ended, answers]).toEqual([["s"], [5]]);
    expect(rig.fatal).toEqual([]);
  });
});

describe("an entry of a leader", () => {
  it.each<[string, Uint8Array]>([
    ["of a kind that this build doesn't know", Uint8Array.of(9)],
    ["that is cut off", encodeSubscriptionOp({ kind: "open", name: "s", newCursor: 1_000 }).subarray(0, 4)],
    ["without a name", Uint8Array.of(1, 0, 5)],
    ["with a number above 2^53", Uint8Array.of(1, 1, 97, ...new Uint8Array(8).fill(0xff), 1)],
    ["that is empty", Uint8Array.of()],
  ])("%s is refused before it comes to the log", (_, payload) => {
    const rig = follower();
    const frame = encodeFrame({ index: 11, term: 1 }, EntryType.subscription, [payload]);
    expect(rig.receive({ prev: { index: 10, term: 1 }, frames: [frame], leaderCommit: 11 })).toContain(
      "entry 11: it is",
    );
    rig.settle();
    expect(rig.node.state()).toMatchObject({ last: 10, commit: 10 });
    expect(rig.fatal).toEqual([]);
  });
});
