import { describe, expect, it } from "vitest";
import { ZERO_ID } from "../../src/raft/types.ts";
import {
  accepted,
  answerAll,
  appendEntries,
  appends,
  diskWith,
  drain,
  elect,
  electAndSettle,
  leaderOf,
  newCore,
  propose,
  receive,
  tick,
  votersOnly,
} from "../support/core.ts";

describe("readIndex (thesis 6.4)", () => {
  it("answers with the commit index of a time after the request, once a quorum has answered something sent after it", () => {
    const raft = newCore();
    electAndSettle(raft);
    raft.step({ kind: "readIndex", id: 7 });
    const asked = drain(raft);
    expect(asked.reads).toEqual([]);
    const [toB] = appends(asked.messages, "b");
    expect(toB).toMatchObject({ frames: [] });
    if (toB !== undefined) receive(raft, accepted(toB));
    expect(drain(raft).reads).toEqual([{ kind: "readIndex", id: 7, index: raft.commitIndex, term: raft.currentTerm }]);
  });

  it("an acknowledgement of a heartbeat sent before the read began doesn't serve that read (PITFALL 52)", () => {
    const raft = newCore();
    electAndSettle(raft);
    tick(raft, 2);
    const heartbeats = drain(raft).messages;
    raft.step({ kind: "readIndex", id: 1 });
    drain(raft);
    answerAll(raft, heartbeats);
    expect(drain(raft).reads).toEqual([]);
  });

  it("no answer to a request of an earlier term serves a read, however late it comes (PITFALL 52)", () => {
    const raft = newCore({}, diskWith([1], 2));
    electAndSettle(raft);
    raft.step({ kind: "readIndex", id: 1 });
    drain(raft);
    // a led term 1 too. A request of then reaches b only now.
    const b = newCore({ id: "b" }, diskWith([1], raft.currentTerm));
    receive(b, appendEntries({ from: "a", to: "b", term: 1, sequence: leaderOf(raft).sequence }));
    const [answer] = drain(b).messages;
    expect(answer).toMatchObject({ success: false, term: raft.currentTerm });
    if (answer !== undefined) receive(raft, answer);
    expect(drain(raft).reads).toEqual([]);
  });

  it("waits for a commit in the leader's own term, and asks the quorum after that (PITFALLS 42, 43)", () => {
    const raft = newCore({}, diskWith([1, 1], 1));
    elect(raft);
    raft.step({ kind: "readIndex", id: 1 });
    const first = drain(raft).messages;
    // Contact alone proves nothing yet: the no-op is on nobody else's disk.
    for (const request of appends(first)) receive(raft, accepted(request, 2));
    expect(drain(raft).reads).toEqual([]);
    tick(raft, 2);
    answerAll(raft, drain(raft).messages);
    const asked = drain(raft);
    expect({ commitIndex: raft.commitIndex, reads: asked.reads }).toEqual({ commitIndex: 3, reads: [] });
    answerAll(raft, asked.messages);
    expect(drain(raft).reads).toEqual([{ kind: "readIndex", id: 1, index: 3, term: 2 }]);
  });

  it("reads of one turn share one round of requests", () => {
    const raft = newCore();
    electAndSettle(raft);
    for (const id of [1, 2, 3]) raft.step({ kind: "readIndex", id });
    const asked = drain(raft);
    expect(asked.messages).toHaveLength(2);
    answerAll(raft, asked.messages);
    expect(drain(raft).reads.map(({ id }) => id)).toEqual([1, 2, 3]);
  });

  it("doesn't wait for the disk of a follower that takes entries in the same turn", () => {
    const raft = newCore();
    electAndSettle(raft);
    propose(raft);
    raft.step({ kind: "readIndex", id: 1 });
    const toB = appends(drain(raft).messages, "b");
    // b's disk is busy: it answers what carries no entries.
    for (const request of toB) if (request.frames.length === 0) receive(raft, accepted(request, 1));
    expect(drain(raft).reads).toEqual([{ kind: "readIndex", id: 1, index: 1, term: 1 }]);
  });

  it("a single voter answers by itself, but not before its own fsync of the term's first entry (PITFALLS 23, 43)", () => {
    const raft = newCore({ configuration: votersOnly("a") });
    tick(raft);
    raft.step({ kind: "readIndex", id: 1 });
    const ready = raft.takeReady();
    expect(ready.reads).toEqual([]);
    raft.step({ kind: "persisted", turn: ready.write?.turn ?? 0 });
    expect(raft.takeReady().reads).toEqual([{ kind: "readIndex", id: 1, index: 1, term: 1 }]);
  });

  it("always answers: notLeader at once where nobody leads, and on stepping down, each read once (PITFALL 42)", () => {
    const raft = newCore();
    raft.step({ kind: "readIndex", id: 1 });
    expect(drain(raft).reads).toEqual([{ kind: "notLeader", id: 1 }]);
    electAndSettle(raft);
    raft.step({ kind: "readIndex", id: 2 });
    drain(raft);
    raft.step({ kind: "readIndex", id: 3 });
    receive(raft, appendEntries({ term: 2, prev: ZERO_ID }));
    expect(drain(raft).reads).toEqual([
      { kind: "notLeader", id: 2 },
      { kind: "notLeader", id: 3 },
    ]);
    expect(drain(raft).reads).toEqual([]);
  });

  it("a joint configuration confirms a read by both majorities (§6)", () => {
    const raft = newCore({ configuration: { voters: ["a", "b", "c"], outgoing: ["a", "d", "e"], learners: [] } });
    electAndSettle(raft);
    raft.step({ kind: "readIndex", id: 1 });
    const { messages } = drain(raft);
    answerAll(raft, messages, "b");
    answerAll(raft, messages, "c");
    expect(drain(raft).reads).toEqual([]);
    answerAll(raft, messages, "d");
    expect(drain(raft).reads).toHaveLength(1);
  });
});
