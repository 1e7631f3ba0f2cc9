import { describe, expect, it } from "vitest";
import {
  appendEntries,
  diskWith,
  drain,
  grant,
  newCore,
  receive,
  requestVote,
  tick,
  timeOut,
} from "../support/core.ts";
import { voteOf, votesAsked } from "./votes.ts";

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

  it("pre-votes, however many, hold nobody's timer, and keep nobody's lost leader alive (PITFALL 4)", () => {
    const raft = newCore({ random: () => 2 });
    receive(raft, appendEntries({ from: "c", term: 1 }));
    drain(raft);
    for (let i = 1; i <= 11; i++) {
      tick(raft);
      receive(raft, requestVote({ term: 2, preVote: true }));
      expect(drain(raft).messages).toMatchObject([{ granted: i >= 10 }]);
    }
    tick(raft);
    expect(raft.role.kind).toBe("preCandidate");
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
