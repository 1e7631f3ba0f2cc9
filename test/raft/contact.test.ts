import { describe, expect, it } from "vitest";
import {
  accepted,
  answerAll,
  appends,
  diskWith,
  drain,
  elect,
  newCore,
  progressOf,
  propose,
  receive,
  rejected,
  tick,
  votersOnly,
} from "../support/core.ts";

/** Of two voters, so that sequences count the requests to b alone. */
function leaderOfTwo(terms: readonly number[] = []) {
  const raft = newCore({ configuration: votersOnly("a", "b") }, diskWith(terms));
  elect(raft);
  return raft;
}

describe("contact with a quorum (thesis 6.2)", () => {
  it("that never comes costs a new leader its office after the shortest timeout, not later", () => {
    const raft = newCore();
    elect(raft);
    tick(raft, 9);
    drain(raft);
    expect(raft.role.kind).toBe("leader");
    tick(raft);
    expect(raft).toMatchObject({ role: { kind: "follower" }, leader: "" });
  });

  it("is proven by an answer to the first request since the last check", () => {
    const raft = leaderOfTwo();
    answerAll(raft, drain(raft).messages.slice(0, 1));
    tick(raft, 10);
    expect(raft.role.kind).toBe("leader");
  });

  it("is proven by an answer that is new, though it is to a request from before the last check", () => {
    const raft = leaderOfTwo();
    const [first] = appends(drain(raft).messages);
    if (first === undefined) throw new Error("a leader asks at once");
    receive(raft, accepted(first));
    tick(raft, 9);
    const late = appends(drain(raft).messages);
    tick(raft, 1);
    for (const request of late) receive(raft, accepted(request));
    tick(raft, 10);
    expect(raft.role.kind).toBe("leader");
  });

  it("is not proven by an answer that comes twice", () => {
    const raft = leaderOfTwo();
    const [first] = appends(drain(raft).messages);
    if (first === undefined) throw new Error("a leader asks at once");
    receive(raft, accepted(first));
    tick(raft, 10);
    receive(raft, accepted(first));
    tick(raft, 10);
    expect(raft.role.kind).toBe("follower");
  });

  it("has to be proven anew after each check", () => {
    const raft = leaderOfTwo();
    for (let i = 0; i < 10; i++) {
      answerAll(raft, drain(raft).messages);
      tick(raft);
    }
    tick(raft, 9);
    expect(raft.role.kind).toBe("leader");
    tick(raft);
    expect(raft.role.kind).toBe("follower");
  });
});

it("who steps down because its disk hangs knows of no leader (PITFALL 53)", () => {
  const raft = leaderOfTwo();
  raft.takeReady();
  tick(raft, 10);
  expect(raft).toMatchObject({ role: { kind: "follower" }, leader: "" });
});

describe("answers that say nothing", () => {
  it("to a node that doesn't lead", () => {
    const raft = leaderOfTwo();
    const [request] = appends(drain(raft).messages);
    tick(raft, 10);
    expect(raft.role.kind).toBe("follower");
    if (request !== undefined) receive(raft, accepted(request));
    raft.step({ kind: "unreachable", member: "b" });
    expect(drain(raft).messages).toEqual([]);
  });

  it("of an earlier term, though their sequence and match would fit (PITFALL 20)", () => {
    const raft = leaderOfTwo([1, 1]);
    const [request] = appends(drain(raft).messages);
    if (request !== undefined) receive(raft, { ...accepted(request, 3), term: 1 });
    expect(progressOf(raft, "b")).toMatchObject({ match: 0, ackedSequence: 0 });
  });

  it("to a request from before the probe: neither acceptance nor rejection ends the search", () => {
    const raft = leaderOfTwo([1, 1]);
    const [before] = appends(drain(raft).messages);
    raft.step({ kind: "unreachable", member: "b" });
    for (const isSent of [false, true]) {
      if (isSent) tick(raft, 2);
      if (isSent) drain(raft);
      const progress = { ...progressOf(raft, "b"), ackedSequence: 1, hasAnswered: true };
      if (before !== undefined) {
        receive(raft, accepted(before, 0));
        receive(raft, rejected(before, 1, 1));
      }
      expect(progressOf(raft, "b")).toEqual(progress);
    }
  });

  it("to the last request from before the pipeline was opened: its rejection is stale", () => {
    const raft = leaderOfTwo([1, 1]);
    const [probe] = appends(drain(raft).messages);
    tick(raft, 2);
    const [heartbeat] = appends(drain(raft).messages);
    if (probe !== undefined) receive(raft, accepted(probe, 0));
    if (heartbeat !== undefined) receive(raft, rejected(heartbeat, 1, 1));
    expect(progressOf(raft, "b")).toMatchObject({ mode: { kind: "replicate" }, next: 4 });
  });
});

describe("the search", () => {
  it("goes on where the follower hints, not from the beginning", () => {
    const raft = leaderOfTwo([1, 1, 1, 1]);
    const [probe] = appends(drain(raft).messages);
    if (probe !== undefined) receive(raft, rejected(probe, 2, 1));
    expect(appends(drain(raft).messages)).toMatchObject([{ prev: { index: 2, term: 1 } }]);
  });

  it("stays where it is when a connection breaks, and knows nothing of strangers", () => {
    const raft = leaderOfTwo([1, 1]);
    for (const member of ["b", "x"]) raft.step({ kind: "unreachable", member });
    expect(progressOf(raft, "b")).toMatchObject({ mode: { kind: "probe" }, match: 0, next: 3 });
  });
});

describe("the pipeline's bounds", () => {
  it("are full when the bytes in flight reach maxInFlightBytes exactly", () => {
    const raft = newCore();
    elect(raft);
    answerAll(raft, drain(raft).messages);
    drain(raft);
    propose(raft);
    const [request] = appends(drain(raft).messages, "b");
    const bytes = request?.frames[0]?.bytes.length ?? 0;
    const bounded = newCore({ maxInFlightBytes: bytes });
    elect(bounded);
    answerAll(bounded, drain(bounded).messages);
    drain(bounded);
    const sent = [1, 2].map(() => {
      propose(bounded);
      return appends(drain(bounded).messages, "b").length;
    });
    expect(sent).toEqual([1, 0]);
  });

  it("a follower whose window is full hears once of a commit beyond what it was sent", () => {
    const raft = newCore({ maxInFlight: 1 });
    elect(raft);
    answerAll(raft, drain(raft).messages);
    answerAll(raft, drain(raft).messages);
    drain(raft);
    for (let i = 0; i < 4; i++) {
      propose(raft);
      answerAll(raft, drain(raft).messages, "c");
    }
    answerAll(raft, drain(raft).messages, "c");
    const toB = [1, 2, 3].map(() => appends(drain(raft).messages, "b").length);
    expect({ commit: raft.commitIndex, toB }).toEqual({ commit: 5, toB: [0, 0, 0] });
  });
});
