import { describe, expect, it } from "vitest";
import { becomeReplicate } from "../../src/raft/progress.ts";
import {
  accepted,
  answerAll,
  appendEntries,
  appends,
  diskWith,
  drain,
  elect,
  electAndSettle,
  framesOf,
  lastOf,
  newCore,
  progressOf,
  propose,
  receive,
  rejected,
  tick,
} from "../support/core.ts";

describe("the pipeline", () => {
  it("holds at most maxInFlight requests, and opens as they become durable", () => {
    const raft = newCore({ maxInFlight: 3 });
    electAndSettle(raft);
    const sent = [];
    for (let i = 0; i < 6; i++) {
      propose(raft);
      sent.push(...appends(drain(raft).messages, "b"));
    }
    expect(sent.map(lastOf)).toEqual([2, 3, 4]);
    const [oldest] = sent;
    if (oldest !== undefined) receive(raft, accepted(oldest));
    // What gathered meanwhile goes together.
    expect(appends(drain(raft).messages, "b").map(lastOf)).toEqual([7]);
  });

  it("holds at most maxInFlightBytes, give or take one request", () => {
    const raft = newCore({ maxInFlight: 100, maxInFlightBytes: 1000 });
    electAndSettle(raft);
    const sent = [];
    for (let i = 0; i < 20; i++) {
      propose(raft, 1, 300);
      sent.push(...appends(drain(raft).messages, "b"));
    }
    expect(sent.map(lastOf)).toEqual([2, 3, 4, 5]);
  });

  it("one request carries at most maxAppendBytes, unless a single entry is larger", () => {
    const raft = newCore({ maxAppendBytes: 250 });
    electAndSettle(raft);
    propose(raft, 4, 100);
    propose(raft, 1, 1000);
    propose(raft, 1, 10);
    const requests = appends(drain(raft).messages, "b");
    expect(requests.map(lastOf)).toEqual([3, 5, 6, 7]);
  });

  it("failed sends release what was in flight (PITFALL 26)", () => {
    const raft = newCore({ maxInFlight: 2 });
    electAndSettle(raft);
    for (let i = 0; i < 4; i++) {
      propose(raft);
      drain(raft);
    }
    raft.step({ kind: "unreachable", member: "b" });
    tick(raft, 2);
    expect(appends(drain(raft).messages, "b")).toMatchObject([{ prev: { index: 1 }, frames: [{}, {}, {}, {}] }]);
  });

  it("a probe that may be lost is sent again from the same place; news of others' connections changes nothing (PITFALL 26)", () => {
    const raft = newCore({}, diskWith([1, 1, 1]));
    elect(raft);
    const [probe] = appends(drain(raft).messages, "b");
    for (const member of ["b", "x"]) raft.step({ kind: "unreachable", member });
    expect(drain(raft).messages).toEqual([]);
    tick(raft, 2);
    expect(appends(drain(raft).messages, "b")).toMatchObject([{ prev: { index: 3, term: 1 }, frames: probe?.frames }]);
    const follower = newCore();
    follower.step({ kind: "unreachable", member: "b" });
    expect(drain(follower)).toMatchObject({ messages: [], writes: [] });
  });

  it("an idle leader sends each follower one request per heartbeat interval, and nothing else", () => {
    const raft = newCore();
    electAndSettle(raft);
    let sent = 0;
    for (let i = 0; i < 100; i++) {
      tick(raft);
      const { messages, writes } = drain(raft);
      expect(writes).toEqual([]);
      sent += messages.length;
      answerAll(raft, messages);
    }
    expect(sent).toBe(100);
  });

  it("a command costs each follower one request with its entry and one with its commit", () => {
    const raft = newCore();
    electAndSettle(raft);
    let sent = 0;
    propose(raft, 10);
    for (let i = 0; i < 5; i++) {
      const { messages } = drain(raft);
      sent += messages.length;
      answerAll(raft, messages);
    }
    expect(sent).toBe(4);
  });

  it("followers with slow disks depose nobody, also while entries keep coming (PITFALL 51)", () => {
    const raft = newCore({ maxInFlight: 1000 });
    electAndSettle(raft);
    for (let i = 0; i < 50; i++) {
      tick(raft);
      propose(raft);
      for (const request of appends(drain(raft).messages)) {
        if (request.frames.length === 0) receive(raft, accepted(request, 1));
      }
    }
    expect(raft.role.kind).toBe("leader");
    expect(raft.commitIndex).toBe(1);
  });
});

describe("entries that left memory", () => {
  it("are fetched for a follower that needs them, one fetch at a time, and sent when they come", () => {
    const raft = newCore({}, diskWith([1, 1, 1]));
    elect(raft);
    const [probe] = appends(drain(raft).messages, "b");
    if (probe !== undefined) receive(raft, rejected(probe, 0, 0));
    const [again] = appends(drain(raft).messages, "b");
    expect(again).toMatchObject({ prev: { index: 0 }, frames: [] });
    if (again !== undefined) receive(raft, accepted(again));
    const { fetches } = drain(raft);
    expect(fetches).toEqual([{ member: "b", term: 2, first: 1, last: 3, maxBytes: 4096 }]);
    tick(raft, 2);
    expect(drain(raft).fetches).toEqual([]);
    for (const fetch of fetches) raft.step({ kind: "fetched", fetch, frames: framesOf([1, 1, 1], 1) });
    expect(appends(drain(raft).messages, "b").map(lastOf)).toEqual([3, 4]);
  });

  it("a fetch that comes back empty, or when the search has moved on, sends nothing malformed (PITFALL 24)", () => {
    const raft = newCore({}, diskWith([1, 1, 1]));
    elect(raft);
    drain(raft);
    const progress = progressOf(raft, "b");
    becomeReplicate(progress, 1, 0);
    const [fetch] = drain(raft).fetches;
    expect(fetch).toMatchObject({ first: 1, last: 3 });
    if (fetch === undefined) return;
    raft.step({ kind: "fetched", fetch, frames: [] });
    const { messages, fetches } = drain(raft);
    expect(appends(messages, "b")).toMatchObject([{ prev: { index: 0, term: 0 }, frames: [] }]);
    expect(fetches).toHaveLength(1);
    raft.step({ kind: "unreachable", member: "b" });
    raft.step({ kind: "fetched", fetch, frames: framesOf([1, 1, 1], 1) });
    expect(appends(drain(raft).messages, "b")).toEqual([]);
    // By now entries from another place on are being fetched.
    becomeReplicate(progress, 2, 0);
    expect(drain(raft).fetches).toMatchObject([{ first: 2 }]);
    raft.step({ kind: "fetched", fetch, frames: framesOf([1, 1, 1], 1) });
    expect(appends(drain(raft).messages, "b").flatMap(({ frames }) => frames)).toEqual([]);
  });

  it("a fetch that comes when its leader is deposed sends nothing, also when it leads again (PITFALL 24)", () => {
    const raft = newCore({}, diskWith([1, 1, 1]));
    elect(raft);
    drain(raft);
    becomeReplicate(progressOf(raft, "b"), 1, 0);
    const [fetch] = drain(raft).fetches;
    if (fetch === undefined) throw new Error("entries are fetched");
    receive(raft, appendEntries({ term: 3, prev: { index: 3, term: 1 } }));
    drain(raft);
    raft.step({ kind: "fetched", fetch, frames: framesOf([1, 1, 1], 1) });
    expect(drain(raft).messages).toEqual([]);
    elect(raft);
    raft.step({ kind: "fetched", fetch, frames: framesOf([1, 1, 1], 1) });
    expect(appends(drain(raft).messages, "b")).toMatchObject([{ prev: { index: 4 }, frames: [{ first: 5 }] }]);
  });
});
