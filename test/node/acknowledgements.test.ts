import { describe, expect, it } from "vitest";
import { assert } from "../../src/assert.ts";
import type { Failure } from "../../src/failure.ts";
import type { Subscription } from "../../src/session/cursor-table.ts";
import {
  acknowledge,
  alone,
  commitAt,
  confirmAt,
  entryOf,
  follower,
  forwarded,
  openAt,
  outcomeOf,
  pass,
  TIMEOUT_MS,
  take,
} from "./subscription-rig.ts";
import { batchOf } from "./support.ts";

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
