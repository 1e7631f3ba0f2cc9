import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import {
  accepted,
  answerAll,
  appendEntries,
  appends,
  diskWith,
  drain,
  elect,
  electAndSettle,
  grant,
  newCore,
  propose,
  receive,
  requestVote,
  seededRandom,
  tick,
  timeOut,
  votersOnly,
} from "../support/core.ts";
import { votesAsked } from "./votes.ts";

const voteOf = (from: string, term: number, preVote = false) =>
  grant({ ...requestVote({ from: "a", to: from, term }), preVote });

describe("campaigning (§5.2, thesis 9.6)", () => {
  it("asks all peers at once for a pre-vote in the next term, and enters that term only with a majority's yes", () => {
    const raft = newCore({}, diskWith([1, 2]));
    timeOut(raft);
    const lastLog = { index: 2, term: 2 };
    expect(drain(raft)).toMatchObject({
      writes: [],
      messages: [
        { kind: "requestVote", from: "a", to: "b", term: 3, lastLog, preVote: true },
        { kind: "requestVote", from: "a", to: "c", term: 3, lastLog, preVote: true },
      ],
    });
    expect(raft.currentTerm).toBe(2);
    receive(raft, voteOf("c", 3, true));
    expect(drain(raft)).toMatchObject({
      writes: [{ turn: 1, hardState: { currentTerm: 3, votedFor: "a" }, truncateFrom: undefined, frames: [] }],
      messages: [
        { kind: "requestVote", to: "b", term: 3, lastLog, preVote: false },
        { kind: "requestVote", to: "c", term: 3, lastLog, preVote: false },
      ],
    });
    receive(raft, voteOf("b", 3));
    expect(raft.role.kind).toBe("leader");
  });

  it("draws the election timeout anew for each wait, both bounds included (§5.2)", () => {
    const raft = newCore({ random: seededRandom(1) });
    const drawn = new Set<number>();
    for (let i = 0; i < 500; i++) {
      receive(raft, appendEntries({ sequence: i + 1 }));
      drawn.add(raft.electionAtTicks - raft.nowTicks);
    }
    expect([...drawn].sort((a, b) => a - b)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  });

  it("every valid message of a leader resets the timer, an older leader's doesn't", () => {
    const raft = newCore({}, diskWith([], 2));
    receive(raft, appendEntries({ term: 2 }));
    tick(raft, 9);
    receive(raft, appendEntries({ term: 2, sequence: 2 }));
    tick(raft, 9);
    expect(raft.role.kind).toBe("follower");
    receive(raft, appendEntries({ term: 1, from: "c" }));
    tick(raft);
    expect(raft.role.kind).toBe("preCandidate");
  });

  it("a candidate that hears the leader of its term follows it, and keeps its vote (§5.2, PITFALL 2)", () => {
    const raft = newCore();
    timeOut(raft);
    receive(raft, voteOf("b", 1, true));
    expect(raft.role.kind).toBe("candidate");
    receive(raft, appendEntries({ term: 1, from: "c" }));
    expect(raft).toMatchObject({ role: { kind: "follower", leader: "c" }, currentTerm: 1, votedFor: "a" });
  });

  it("a candidate that a majority refuses follows again at once, and keeps its vote (PITFALL 2)", () => {
    const raft = newCore();
    timeOut(raft);
    receive(raft, voteOf("b", 1, true));
    for (const from of ["b", "c"]) receive(raft, { ...voteOf(from, 1), granted: false });
    expect(raft).toMatchObject({ role: { kind: "follower" }, currentTerm: 1, votedFor: "a" });
  });

  it("counts each voter once, and nobody else", () => {
    const raft = newCore({ configuration: { voters: ["a", "b", "c", "d", "e"], outgoing: [], learners: ["l"] } });
    timeOut(raft);
    for (const from of ["b", "b", "l", "x"]) receive(raft, voteOf(from, 1, true));
    expect(raft.role.kind).toBe("preCandidate");
    receive(raft, voteOf("c", 1, true));
    for (const from of ["b", "b", "l", "x"]) receive(raft, voteOf(from, 1));
    expect(raft.role.kind).toBe("candidate");
    receive(raft, voteOf("c", 1));
    expect(raft.role.kind).toBe("leader");
  });

  it("doesn't count an answer to an earlier election, nor a pre-vote as a vote (PITFALL 6)", () => {
    const raft = newCore();
    timeOut(raft);
    receive(raft, voteOf("b", 1, true));
    receive(raft, voteOf("c", 1, true));
    expect(raft.role.kind).toBe("candidate");
    timeOut(raft);
    receive(raft, voteOf("b", 1));
    receive(raft, voteOf("b", 1, true));
    expect(raft.role.kind).toBe("preCandidate");
    receive(raft, voteOf("b", 2, true));
    receive(raft, voteOf("c", 1));
    expect(raft).toMatchObject({ role: { kind: "candidate" }, currentTerm: 2 });
  });

  it("becoming leader cancels pre-votes in flight: their answers change nothing (PITFALL 6)", () => {
    const raft = newCore();
    elect(raft);
    drain(raft);
    receive(raft, voteOf("c", 1, true));
    receive(raft, voteOf("c", 2, true));
    expect(raft).toMatchObject({ role: { kind: "leader" }, currentTerm: 1 });
    expect(drain(raft)).toMatchObject({ writes: [], messages: [] });
  });

  it("in a joint configuration needs the majorities of both (§6)", () => {
    const raft = newCore({ configuration: { voters: ["a", "b", "c"], outgoing: ["c", "d", "e"], learners: [] } });
    timeOut(raft);
    expect(votesAsked(drain(raft).messages)).toEqual(["b", "c", "d", "e"]);
    receive(raft, voteOf("b", 1, true));
    receive(raft, voteOf("d", 1, true));
    expect(raft.role.kind).toBe("preCandidate");
    receive(raft, voteOf("e", 1, true));
    receive(raft, voteOf("d", 1));
    receive(raft, voteOf("e", 1));
    expect(raft.role.kind).toBe("candidate");
    receive(raft, voteOf("c", 1));
    expect(raft.role.kind).toBe("leader");
  });

  it("a learner never campaigns", () => {
    const raft = newCore({ configuration: { voters: ["b", "c"], outgoing: [], learners: ["a"] } });
    tick(raft, 100);
    expect(drain(raft).messages).toEqual([]);
    expect(raft.role.kind).toBe("follower");
  });

  it("a single voter leads at its first tick, with nobody to ask", () => {
    const raft = newCore({ configuration: votersOnly("a") });
    tick(raft);
    expect(raft).toMatchObject({ role: { kind: "leader" }, currentTerm: 1, votedFor: "a" });
  });
});

describe("voting (§5.2, §5.4.1)", () => {
  it("a vote leaves only when term and vote are on the disk, in one write (PITFALL 1)", () => {
    const raft = newCore();
    receive(raft, requestVote({ term: 4 }));
    const ready = raft.takeReady();
    expect(ready.write).toEqual({
      turn: 1,
      hardState: { currentTerm: 4, votedFor: "b" },
      truncateFrom: undefined,
      frames: [],
    });
    expect(ready.messages).toEqual([]);
    expect(raft.takeReady().messages).toEqual([]);
    raft.step({ kind: "persisted", turn: 1 });
    expect(raft.takeReady().messages).toEqual([grant(requestVote({ term: 4 }))]);
  });

  it("no answer speaks of a new term before that is on the disk: refusals and appends too (PITFALL 1)", () => {
    const raft = newCore({}, diskWith([2]));
    receive(raft, requestVote({ term: 4 }));
    receive(raft, appendEntries({ from: "c", term: 5, sequence: 1 }));
    const { write, messages } = raft.takeReady();
    expect({ hardState: write?.hardState, messages }).toEqual({
      hardState: { currentTerm: 5, votedFor: "" },
      messages: [],
    });
    raft.step({ kind: "persisted", turn: 1 });
    expect(raft.takeReady().messages.map(({ kind, to, term }) => ({ kind, to, term }))).toEqual([
      { kind: "requestVoteResponse", to: "b", term: 4 },
      { kind: "appendEntriesResponse", to: "c", term: 5 },
    ]);
  });

  it("a candidate asks for votes only when its own is on the disk, with every entry that it advertises (PITFALL 1)", () => {
    const raft = newCore({}, diskWith([1]));
    timeOut(raft);
    drain(raft);
    receive(raft, voteOf("b", 2, true));
    const { write, messages } = raft.takeReady();
    expect({ hardState: write?.hardState, messages }).toEqual({
      hardState: { currentTerm: 2, votedFor: "a" },
      messages: [],
    });
    raft.step({ kind: "persisted", turn: 1 });
    expect(votesAsked(raft.takeReady().messages)).toEqual(["b", "c"]);
  });

  it("votes for the first who asks in a term, and says the same yes to the same candidate again (PITFALL 2)", () => {
    const raft = newCore();
    receive(raft, requestVote({ from: "b", term: 1 }));
    receive(raft, requestVote({ from: "c", term: 1 }));
    receive(raft, requestVote({ from: "b", term: 1 }));
    const { writes, messages } = drain(raft);
    expect(writes).toHaveLength(1);
    expect(messages.map((message) => [message.to, "granted" in message && message.granted])).toEqual([
      ["b", true],
      ["c", false],
      ["b", true],
    ]);
  });

  it("giving a vote resets the timer, refusing one doesn't (§5.2)", () => {
    const raft = newCore();
    tick(raft, 5);
    receive(raft, requestVote({ from: "b", term: 1 }));
    expect(raft.electionAtTicks).toBe(15);
    tick(raft, 5);
    receive(raft, requestVote({ from: "c", term: 1 }));
    receive(raft, requestVote({ from: "c", term: 2, lastLog: { index: 0, term: 0 }, preVote: true }));
    expect(raft.electionAtTicks).toBe(15);
  });

  it("remembers its vote after a restart (PITFALL 2)", () => {
    const raft = newCore({}, diskWith([], 1, "b"));
    receive(raft, requestVote({ from: "c", term: 1 }));
    receive(raft, requestVote({ from: "b", term: 1 }));
    expect(drain(raft).messages.map((message) => "granted" in message && message.granted)).toEqual([false, true]);
  });

  it.each([
    {
      own: [1, 1, 1, 1],
      candidate: { index: 2, term: 2 },
      granted: true,
      why: "a later last term wins over a longer log",
    },
    {
      own: [1, 2],
      candidate: { index: 9, term: 1 },
      granted: false,
      why: "an older last term loses, however long its log",
    },
    { own: [1, 1], candidate: { index: 2, term: 1 }, granted: true, why: "an equal log will do" },
    { own: [1, 1, 1], candidate: { index: 2, term: 1 }, granted: false, why: "with equal terms the shorter log loses" },
    { own: [1, 1], candidate: { index: 3, term: 1 }, granted: true, why: "with equal terms the longer log wins" },
  ])("for votes and pre-votes alike, $why (§5.4.1, PITFALL 3)", ({ own, candidate, granted }) => {
    for (const preVote of [true, false]) {
      const raft = newCore({}, diskWith(own));
      receive(raft, requestVote({ term: 5, lastLog: candidate, preVote }));
      expect(drain(raft).messages).toMatchObject([{ kind: "requestVoteResponse", granted, preVote }]);
    }
  });

  it("a pre-vote changes no term, vote, role or timer, and doesn't count as word from a leader (PITFALL 4)", () => {
    const raft = newCore({}, diskWith([1]));
    tick(raft, 5);
    const before = { role: { ...raft.role }, timer: raft.electionAtTicks };
    receive(raft, requestVote({ term: 2, lastLog: { index: 1, term: 1 }, preVote: true }));
    expect({ role: raft.role, timer: raft.electionAtTicks }).toEqual(before);
    expect(drain(raft)).toMatchObject({ writes: [], messages: [{ granted: true, term: 2, electionTerm: 2 }] });
    expect(raft).toMatchObject({ currentTerm: 1, votedFor: "" });
    // The candidate whose pre-vote it was gets the vote as well, at once.
    receive(raft, requestVote({ term: 2, lastLog: { index: 1, term: 1 } }));
    expect(drain(raft).messages).toMatchObject([{ granted: true, preVote: false }]);
  });

  it("a low-term node with the better log gets elected by a higher-term one with the worse log (PITFALL 5)", () => {
    const behind = newCore({ id: "b" }, diskWith([1], 9));
    const raft = newCore({}, diskWith([1, 1], 5));
    timeOut(raft);
    const [preVote] = drain(raft).messages;
    if (preVote !== undefined) receive(behind, preVote);
    for (const answer of drain(behind).messages) receive(raft, answer);
    expect(raft).toMatchObject({ role: { kind: "follower" }, currentTerm: 9 });
    timeOut(raft);
    for (let i = 0; i < 2; i++) {
      for (const request of drain(raft).messages) if (request.to === "b") receive(behind, request);
      for (const answer of drain(behind).messages) receive(raft, answer);
    }
    expect(raft).toMatchObject({ role: { kind: "leader" }, currentTerm: 10 });
  });

  it("a learner answers whoever counts it as a voter (PITFALL 10)", () => {
    const raft = newCore({ configuration: { voters: ["b", "c"], outgoing: [], learners: ["a"] } });
    receive(raft, requestVote({ term: 1 }));
    expect(drain(raft).messages).toMatchObject([{ granted: true }]);
  });
});

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
    const leader = newCore({ id: "c" });
    elect(leader);
    const third = newCore({ id: "b" });
    const raft = newCore();
    for (let i = 0; i < 100; i++) {
      for (const core of [leader, third, raft]) tick(core);
      // a and c can't talk to each other.
      const links = [
        { from: leader, to: third },
        { from: third, to: leader },
        { from: raft, to: third },
        { from: third, to: raft },
      ];
      const messages = new Map([leader, third, raft].map((core) => [core, drain(core).messages]));
      for (const { from, to } of links) {
        for (const message of messages.get(from) ?? []) if (message.to === to.id) receive(to, message);
      }
    }
    expect([leader, third, raft].map((core) => core.currentTerm)).toEqual([1, 1, 1]);
    expect(leader.role.kind).toBe("leader");
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
    for (let i = 0; i < 9; i++) {
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
