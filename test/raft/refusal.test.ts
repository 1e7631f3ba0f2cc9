import { describe, expect, it } from "vitest";
import type { Raft, RaftOptions } from "../../src/raft/raft.ts";
import type { NodeId } from "../../src/raft/types.ts";
import {
  appendEntries,
  commands,
  diskWith,
  drain,
  electAndSettle,
  newCore,
  receive,
  requestVote,
  seededRandom,
  tick,
  timeOut,
} from "../support/core.ts";
import { voteOf, votesAsked } from "./votes.ts";

/** The shortest election timeout, as tests have it. */
const SHORTEST = 10;

function refused(raft: Raft, member: NodeId): void {
  raft.step({ kind: "refused", member });
}

/** A follower that has just heard b, which leads term 1, and whose timer is the longest there is. */
function followerOfB(options: Partial<RaftOptions> = {}, terms: readonly number[] = []): Raft {
  const raft = newCore({ random: (bound) => bound - 1, ...options }, diskWith(terms));
  receive(raft, appendEntries());
  drain(raft);
  return raft;
}

describe("a follower whose leader is refused", () => {
  it("asks for pre-votes after at most a fifth of the shortest timeout, and enters no term by that", () => {
    const raft = followerOfB();
    refused(raft, "b");
    tick(raft);
    expect(raft.role.kind).toBe("follower");
    tick(raft);
    expect(raft).toMatchObject({ role: { kind: "preCandidate" }, currentTerm: 1 });
    const { messages, writes } = drain(raft);
    expect(votesAsked(messages)).toEqual(["b", "c"]);
    expect(messages).toMatchObject([{ preVote: true }, { preVote: true }]);
    expect(writes).toEqual([]);
  });

  it("draws the delay, both bounds included, and once however often it is told", () => {
    const drawn = new Set<number>();
    const random = seededRandom(1);
    for (let i = 0; i < 300; i++) {
      const raft = followerOfB({ random, electionTimeoutMinTicks: 40, electionTimeoutMaxTicks: 80 });
      refused(raft, "b");
      drawn.add(raft.hurryAtTicks);
      refused(raft, "b");
      drawn.add(raft.hurryAtTicks);
    }
    expect([...drawn].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const raft = followerOfB();
    refused(raft, "b");
    tick(raft);
    refused(raft, "b");
    tick(raft);
    expect(raft.role.kind).toBe("preCandidate");
  });

  it("asks again after another delay, whether it was refused or got no answer", () => {
    const raft = followerOfB({ random: () => 0 });
    refused(raft, "b");
    for (let i = 0; i < 3; i++) {
      tick(raft);
      expect(votesAsked(drain(raft).messages)).toEqual(["b", "c"]);
    }
    for (const from of ["b", "c"]) receive(raft, { ...voteOf(from, 2, true), granted: false, term: 1 });
    expect(raft.role.kind).toBe("follower");
    tick(raft);
    expect(votesAsked(drain(raft).messages)).toEqual(["b", "c"]);
  });

  it("hurries no longer than the longest timeout: then the election timer alone decides", () => {
    const raft = followerOfB({ random: () => 0 });
    refused(raft, "b");
    tick(raft, raft.options.electionTimeoutMaxTicks + 1);
    drain(raft);
    expect(raft.hurryAtTicks).toBe(Number.POSITIVE_INFINITY);
    let rounds = 0;
    for (let i = 0; i < 4 * SHORTEST; i++) {
      tick(raft);
      if (votesAsked(drain(raft).messages).length > 0) rounds++;
    }
    expect(rounds).toBe(4);
  });

  it("knows no leader to whom a request could be brought, until it hears it again", () => {
    const raft = followerOfB();
    expect(raft.leader).toBe("b");
    refused(raft, "b");
    expect(raft.leader).toBe("");
    receive(raft, appendEntries({ sequence: 2 }));
    expect(raft.leader).toBe("b");
  });

  it("doesn't hurry once the leader is heard again, also after it has asked for pre-votes", () => {
    for (const ticks of [1, 2]) {
      const raft = followerOfB();
      refused(raft, "b");
      tick(raft, ticks);
      receive(raft, appendEntries({ sequence: 2 }));
      drain(raft);
      tick(raft, 18);
      expect(raft).toMatchObject({ role: { kind: "follower" }, leader: "b", currentTerm: 1 });
      expect(votesAsked(drain(raft).messages)).toEqual([]);
    }
  });

  it("doesn't hurry once the leader takes a connection again; the election timer is as it was", () => {
    const raft = followerOfB();
    const timer = raft.electionAtTicks;
    for (let i = 0; i < 5; i++) {
      tick(raft);
      refused(raft, "b");
      raft.step({ kind: "reachable", member: "c" });
      expect(raft.leader).toBe("");
      raft.step({ kind: "reachable", member: "b" });
    }
    expect(raft).toMatchObject({ leader: "b", electionAtTicks: timer });
    tick(raft, timer - 5 - 1);
    expect(raft.role.kind).toBe("follower");
    tick(raft);
    expect(raft.role.kind).toBe("preCandidate");
  });

  it("forgets that with the term: the next leader, whoever it is, starts unsuspected", () => {
    for (const next of ["b", "c"]) {
      const raft = followerOfB();
      refused(raft, "b");
      receive(raft, requestVote({ from: next, term: 2 }));
      receive(raft, appendEntries({ from: next, term: 2 }));
      drain(raft);
      expect(raft.leader).toBe(next);
      receive(raft, requestVote({ from: "c", term: 3, preVote: true }));
      expect(drain(raft).messages).toMatchObject([{ granted: false }]);
      tick(raft, 18);
      expect(raft.role.kind).toBe("follower");
    }
  });

  it("does not campaign where it otherwise wouldn't: as a learner, or with a disk that hangs", () => {
    const learner = followerOfB({ configuration: { voters: ["b", "c"], outgoing: [], learners: ["a"] } });
    refused(learner, "b");
    tick(learner, 100);
    expect(learner.role.kind).toBe("follower");
    const hung = followerOfB();
    receive(hung, appendEntries({ frames: [commands(1, 1, 1)], sequence: 2 }));
    const { write } = hung.takeReady();
    tick(hung, hung.diskPatienceTicks);
    receive(hung, appendEntries({ sequence: 3 }));
    refused(hung, "b");
    tick(hung, 6);
    expect(hung.role.kind).toBe("follower");
    hung.step({ kind: "persisted", turn: write?.turn ?? 0 });
    tick(hung, 2);
    expect(hung.role.kind).toBe("preCandidate");
  });

  it("as a candidate whose votes are split asks again after half of the shortest timeout, and before all of it", () => {
    const waits = new Set<number>();
    const random = seededRandom(2);
    for (let i = 0; i < 200; i++) {
      const raft = followerOfB({ random });
      refused(raft, "b");
      tick(raft, raft.hurryAtTicks - raft.nowTicks);
      receive(raft, voteOf("c", 2, true));
      expect(raft.role.kind).toBe("candidate");
      waits.add(raft.electionAtTicks - raft.nowTicks);
      timeOut(raft);
      // That once; then it waits as all do.
      receive(raft, voteOf("c", 3, true));
      expect(raft).toMatchObject({ role: { kind: "candidate" }, currentTerm: 3 });
      expect(raft.electionAtTicks - raft.nowTicks).toBeGreaterThanOrEqual(SHORTEST);
    }
    expect([...waits].sort((a, b) => a - b)).toEqual([5, 6, 7, 8, 9]);
  });
});

describe("a follower whose leader is refused, and whom another asks for a pre-vote first", () => {
  it("gives it and lets the other one go on: its own hurry begins again behind that, its election timer doesn't", () => {
    const raft = followerOfB();
    const timer = raft.electionAtTicks;
    refused(raft, "b");
    tick(raft);
    receive(raft, requestVote({ from: "c", term: 2, preVote: true }));
    expect(drain(raft).messages).toMatchObject([{ granted: true }]);
    expect(raft).toMatchObject({ hurryAtTicks: raft.nowTicks + 4, electionAtTicks: timer });
    tick(raft, 3);
    expect(raft.role.kind).toBe("follower");
    tick(raft);
    expect(raft.role.kind).toBe("preCandidate");
  });

  it("doesn't wait for one whose log is behind, and who gets no vote", () => {
    const raft = followerOfB({}, [1, 1]);
    refused(raft, "b");
    receive(raft, requestVote({ from: "c", term: 2, lastLog: { index: 1, term: 1 }, preVote: true }));
    tick(raft, 2);
    expect(raft.role.kind).toBe("preCandidate");
  });

  it("gives up its own pre-vote for one whose name comes before its own, and for no other", () => {
    const names: [NodeId, NodeId, string][] = [
      ["m", "c", "follower"],
      ["m", "x", "preCandidate"],
    ];
    for (const [id, other, kind] of names) {
      const raft = followerOfB({ id, configuration: { voters: [id, "b", other], outgoing: [], learners: [] } });
      refused(raft, "b");
      tick(raft, 2);
      receive(raft, requestVote({ from: other, to: id, term: 2, preVote: true }));
      expect(drain(raft).messages.at(-1)).toMatchObject({ kind: "requestVoteResponse", granted: true });
      expect(raft.role.kind).toBe(kind);
      // What was granted to it before that no longer makes it a candidate.
      receive(raft, voteOf(other, 2, true));
      expect(raft.role.kind).toBe(kind === "follower" ? "follower" : "candidate");
    }
  });
});

describe("a refusal that says nothing", () => {
  it("of somebody who doesn't lead, or when nobody is known to", () => {
    const follower = followerOfB();
    refused(follower, "c");
    const newcomer = newCore({ random: (bound) => bound - 1 });
    refused(newcomer, "b");
    for (const raft of [follower, newcomer]) {
      tick(raft, 18);
      expect(raft).toMatchObject({ role: { kind: "follower" }, hurryAtTicks: Number.POSITIVE_INFINITY });
    }
  });

  it("to a leader: of the others, of itself, and about itself when it is asked for a vote", () => {
    const raft = newCore();
    electAndSettle(raft);
    for (const member of ["b", "c"]) refused(raft, member);
    for (const preVote of [true, false]) receive(raft, requestVote({ term: 2, lastLog: raft.log.lastId, preVote }));
    expect(drain(raft).messages).toMatchObject([{ granted: false }, { granted: false }]);
    expect(raft).toMatchObject({ role: { kind: "leader" }, currentTerm: 1 });
  });
});

describe("a voter whose leader is refused", () => {
  it("has none, for pre-votes and votes alike, though it heard it just now", () => {
    const raft = followerOfB();
    refused(raft, "b");
    receive(raft, requestVote({ from: "c", term: 2, preVote: true }));
    expect(drain(raft)).toMatchObject({ messages: [{ granted: true, preVote: true }], writes: [] });
    expect(raft.currentTerm).toBe(1);
    receive(raft, requestVote({ from: "c", term: 2 }));
    const { write, messages } = raft.takeReady();
    expect({ hardState: write?.hardState, messages }).toEqual({
      hardState: { currentTerm: 2, votedFor: "c" },
      messages: [],
    });
    raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
    expect(raft.takeReady().messages).toMatchObject([{ granted: true, preVote: false }]);
  });

  it("votes by term and log as ever (§5.2, §5.4.1)", () => {
    for (const preVote of [true, false]) {
      const raft = followerOfB({}, [1, 1]);
      refused(raft, "b");
      receive(raft, requestVote({ from: "c", term: 2, lastLog: { index: 1, term: 1 }, preVote }));
      receive(raft, requestVote({ from: "c", term: 1, lastLog: { index: 0, term: 0 }, preVote }));
      expect(drain(raft).messages).toMatchObject([{ granted: false }, { granted: false }]);
    }
    const raft = followerOfB();
    refused(raft, "b");
    receive(raft, requestVote({ from: "c", term: 2 }));
    receive(raft, requestVote({ from: "b", term: 2 }));
    expect(drain(raft).messages).toMatchObject([{ granted: true }, { granted: false }]);
  });

  it("refuses again once the leader is heard, or takes a connection", () => {
    const heard = followerOfB();
    refused(heard, "b");
    receive(heard, appendEntries({ sequence: 2 }));
    const reached = followerOfB();
    refused(reached, "b");
    reached.step({ kind: "reachable", member: "b" });
    for (const raft of [heard, reached]) {
      drain(raft);
      for (const preVote of [true, false]) receive(raft, requestVote({ from: "c", term: 2, preVote }));
      expect(drain(raft).messages).toMatchObject([{ granted: false }, { granted: false }]);
      expect(raft.currentTerm).toBe(1);
    }
  });
});
