import { describe, expect, it } from "vitest";
import { Failure } from "../../src/failure.ts";
import { encodeFrame } from "../../src/frame/codec.ts";
import { EntryType } from "../../src/raft/types.ts";
import { CursorTable } from "../../src/session/cursor-table.ts";
import { encodeSubscriptionOp } from "../../src/session/subscription.ts";
import type { FollowerNode } from "./follower-node.ts";
import { fetchedOf, ownStateOf } from "./follower-node.ts";
import {
  acknowledge,
  alone,
  commitAt,
  entryOf,
  follower,
  forwarded,
  openAt,
  outcomeOf,
  take,
} from "./subscription-rig.ts";

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
