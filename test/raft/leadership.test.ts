import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import {
  accepted,
  answerAll,
  appendEntries,
  appends,
  drain,
  elect,
  electAndSettle,
  newCore,
  propose,
  receive,
  requestVote,
  tick,
  timeOut,
  votersOnly,
} from "../support/core.ts";
import { Group } from "./group.ts";

describe("having a leader (thesis 4.2.3)", () => {
  it("who heard a leader within the shortest timeout refuses both kinds of vote, and enters no term (PITFALL 8)", () => {
    const raft = newCore();
    receive(raft, appendEntries({ from: "c", term: 1 }));
    drain(raft);
    tick(raft, 9);
    for (const preVote of [true, false]) receive(raft, requestVote({ from: "b", term: 7, preVote }));
    expect(drain(raft).messages).toMatchObject([
      { granted: false, term: 1 },
      { granted: false, term: 1 },
    ]);
    expect(raft.currentTerm).toBe(1);
  });

  it("after the shortest timeout without word it votes, though its own timer still runs", () => {
    const raft = newCore({ random: (bound) => bound - 1 });
    receive(raft, appendEntries({ from: "c", term: 1 }));
    tick(raft, 10);
    expect(raft.role.kind).toBe("follower");
    receive(raft, requestVote({ from: "b", term: 2 }));
    expect(drain(raft).messages).toMatchObject([{ to: "c" }, { granted: true }]);
  });

  it("one cut pair of nodes deposes no leader: its pre-votes are refused and terms stay (PITFALL 8)", () => {
    const group = new Group({ a: [], b: [], c: [] }, { electionTimeoutMaxTicks: 12 });
    group.elect("c");
    group.tick(4);
    // a's log is as good as anybody's, so that nothing but the others' leader stands against it.
    expect(group.logs).toEqual([[1], [1], [1]]);
    group.lost = ({ from, to }) => [from, to].every((id) => id === "a" || id === "c");
    group.tick(200);
    expect(group.core("a").role.kind).toBe("preCandidate");
    expect({ leaders: group.leaders, terms: group.cores.map(({ currentTerm }) => currentTerm) }).toEqual({
      leaders: ["c"],
      terms: [1, 1, 1],
    });
  });

  it("a leader refuses every vote, and stays until an answer to its own requests shows a higher term", () => {
    const raft = newCore();
    electAndSettle(raft);
    receive(raft, requestVote({ term: 8, lastLog: { index: 9, term: 7 } }));
    expect(drain(raft).messages).toMatchObject([{ granted: false, term: 1 }]);
    receive(raft, { ...accepted(appendEntries({ from: "a", to: "b" })), success: false, term: 8, sequence: 0 });
    expect(raft).toMatchObject({ role: { kind: "follower", leader: "" }, currentTerm: 8, votedFor: "" });
  });

  it("a second leader in one term is fatal, for the leader and for its followers (Election Safety, PITFALL 9)", () => {
    const raft = newCore();
    elect(raft);
    expect(() => receive(raft, appendEntries({ from: "b", term: 1 }))).toThrow(InvariantError);
    const follower = newCore();
    receive(follower, appendEntries({ from: "b", term: 1 }));
    expect(() => receive(follower, appendEntries({ from: "c", term: 1 }))).toThrow("both lead term 1");
  });
});

describe("a second leader in one term (Election Safety, PITFALL 9)", () => {
  it("is fatal for a leader that stepped down in that term", () => {
    const raft = newCore();
    elect(raft);
    drain(raft);
    tick(raft, 12);
    expect(raft).toMatchObject({ role: { kind: "follower" }, currentTerm: 1 });
    expect(() => receive(raft, appendEntries({ from: "b", term: 1 }))).toThrow("b and a both lead term 1");
  });

  it("is fatal for who followed the first one, lost it, and then voted for the second in that very term", () => {
    const raft = newCore();
    receive(raft, appendEntries());
    drain(raft);
    tick(raft, 10);
    receive(raft, requestVote({ from: "c" }));
    drain(raft);
    expect(raft.votedFor).toBe("c");
    expect(() => receive(raft, appendEntries({ from: "c" }))).toThrow("both lead term 1");
  });

  it("is fatal for who followed the first one and has campaigned in vain since", () => {
    const raft = newCore();
    receive(raft, appendEntries({ from: "b", term: 1 }));
    drain(raft);
    timeOut(raft);
    expect(raft).toMatchObject({ role: { kind: "preCandidate" }, currentTerm: 1 });
    receive(raft, appendEntries({ from: "b", term: 1, sequence: 2 }));
    timeOut(raft);
    expect(() => receive(raft, appendEntries({ from: "c", term: 1 }))).toThrow("c and b both lead term 1");
    expect(() => receive(raft, appendEntries({ from: "c", term: 2 }))).not.toThrow();
  });
});

describe("stepping down", () => {
  it("a leader that no quorum answers steps down, and then sends nothing that renews leases (PITFALL 7)", () => {
    const raft = newCore({ configuration: votersOnly("a", "b", "c", "d", "e") });
    electAndSettle(raft);
    for (let i = 0; i < 20 && raft.role.kind === "leader"; i++) {
      tick(raft);
      answerAll(raft, drain(raft).messages, "b");
    }
    expect(raft).toMatchObject({ role: { kind: "follower", leader: "" }, currentTerm: 1, votedFor: "a" });
    tick(raft, 100);
    expect(appends(drain(raft).messages)).toEqual([]);
  });

  it("a leader that lost its quorum is silent after at most two shortest timeouts (PITFALL 7)", () => {
    const raft = newCore({ configuration: votersOnly("a", "b", "c", "d", "e") });
    electAndSettle(raft);
    tick(raft);
    const { messages } = drain(raft);
    answerAll(raft, messages);
    let lastSentTicks = 0;
    for (let i = 1; i <= 40; i++) {
      tick(raft);
      const sent = appends(drain(raft).messages);
      answerAll(raft, sent, "b");
      if (sent.length > 0) lastSentTicks = i;
    }
    expect(lastSentTicks).toBeGreaterThan(0);
    expect(lastSentTicks).toBeLessThanOrEqual(20);
  });

  it("a deposed leader refuses its vote of that term to everybody else (PITFALL 2)", () => {
    const raft = newCore();
    elect(raft);
    drain(raft);
    tick(raft, 20);
    expect(raft.role.kind).not.toBe("leader");
    receive(raft, requestVote({ term: 1, lastLog: { index: 9, term: 1 } }));
    expect(drain(raft).messages.filter(({ kind }) => kind === "requestVoteResponse")).toMatchObject([
      { term: 1, granted: false },
    ]);
  });

  it("a leader that a quorum answers stays", () => {
    const raft = newCore();
    electAndSettle(raft);
    for (let i = 0; i < 100; i++) {
      tick(raft);
      answerAll(raft, drain(raft).messages, "b");
    }
    expect(raft).toMatchObject({ role: { kind: "leader" }, currentTerm: 1 });
  });

  it("a leader whose disk hangs, heartbeats still flowing, gives up, and doesn't campaign meanwhile (PITFALL 53)", () => {
    const raft = newCore();
    electAndSettle(raft);
    propose(raft);
    const { write } = raft.takeReady();
    for (let i = 1; i < raft.diskPatienceTicks; i++) {
      tick(raft);
      answerAll(raft, raft.takeReady().messages);
    }
    expect(raft.role.kind).toBe("leader");
    tick(raft);
    expect(raft.role.kind).toBe("follower");
    tick(raft, 50);
    expect(raft.takeReady().messages).toEqual([]);
    raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
    timeOut(raft);
    expect(raft.role.kind).toBe("preCandidate");
  });
});
