import { describe, expect, it } from "vitest";
import {
  appendEntries,
  diskWith,
  drain,
  elect,
  newCore,
  receive,
  seededRandom,
  tick,
  timeOut,
  votersOnly,
} from "../support/core.ts";
import { voteOf, votesAsked } from "./votes.ts";

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

  it("a single voter that a joint configuration hasn't left alone yet waits like anybody, and asks (§6)", () => {
    const raft = newCore({ configuration: { voters: ["a"], outgoing: ["a", "b"], learners: [] } });
    tick(raft, 9);
    expect(raft).toMatchObject({ role: { kind: "follower" }, leader: "" });
    tick(raft);
    expect(raft).toMatchObject({ role: { kind: "preCandidate" }, leader: "" });
    expect(votesAsked(drain(raft).messages)).toEqual(["b"]);
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
