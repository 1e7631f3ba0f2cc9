import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import { becomeFollower } from "../../src/raft/follower.ts";
import { MAX_TERM } from "../../src/raft/types.ts";
import {
  accepted,
  answerAll,
  appendEntries,
  diskWith,
  drain,
  electAndSettle,
  grant,
  newCore,
  receive,
  requestVote,
  tick,
  timeOut,
} from "../support/core.ts";

const lastLog = { index: 1, term: 1 };

function candidate() {
  const raft = newCore();
  timeOut(raft);
  receive(raft, grant({ ...requestVote({ from: "a", to: "b" }), preVote: true }));
  drain(raft);
  return raft;
}

describe("terms (§5.1)", () => {
  it("a vote is asked for in vain in a term that has passed, however good the log", () => {
    const raft = newCore({}, diskWith([1], 3));
    receive(raft, requestVote({ term: 2, lastLog }));
    expect(drain(raft)).toMatchObject({ writes: [], messages: [{ granted: false, term: 3, electionTerm: 2 }] });
    expect(raft.votedFor).toBe("");
  });

  it("a pre-vote is given for a term to come only", () => {
    const raft = newCore({}, diskWith([1], 3));
    for (const term of [2, 3, 4]) receive(raft, requestVote({ term, lastLog, preVote: true }));
    expect(drain(raft).messages.map((message) => "granted" in message && message.granted)).toEqual([
      false,
      false,
      true,
    ]);
  });

  it("nobody campaigns past the last term (PITFALL 57)", () => {
    const raft = newCore({}, diskWith([1], MAX_TERM));
    tick(raft, 100);
    expect(drain(raft).messages).toEqual([]);
    expect(raft.role.kind).toBe("follower");
  });

  it("the term never falls: that is fatal", () => {
    expect(() => becomeFollower(newCore({}, diskWith([1], 3)), 2, "")).toThrow(InvariantError);
  });

  it("a candidate that is asked for its vote in its own term stays one", () => {
    const raft = candidate();
    receive(raft, requestVote({ from: "c", term: 1 }));
    expect(drain(raft).messages).toMatchObject([{ to: "c", granted: false }]);
    expect(raft.role.kind).toBe("candidate");
  });

  it("a vote that is repeated is not written again", () => {
    const raft = newCore();
    receive(raft, requestVote());
    drain(raft);
    receive(raft, requestVote());
    expect(drain(raft)).toMatchObject({ writes: [], messages: [{ granted: true }] });
  });
});

describe("who leads", () => {
  it("is known of oneself and of the leader that was heard, and of nobody otherwise", () => {
    const raft = newCore();
    expect(raft.leader).toBe("");
    receive(raft, appendEntries());
    expect(raft.leader).toBe("b");
    receive(raft, { ...accepted(appendEntries({ from: "a", to: "c" })), term: 2 });
    expect(raft.leader).toBe("");
    timeOut(raft);
    expect(raft.leader).toBe("");
    electAndSettle(raft);
    expect(raft.leader).toBe("a");
    tick(raft, 20);
    expect(raft).toMatchObject({ leader: "", role: { kind: "follower" } });
  });

  it("is not known after a lost election, nor after a vote in a new term", () => {
    const raft = candidate();
    for (const from of ["b", "c"]) receive(raft, { ...grant(requestVote({ from: "a", to: from })), granted: false });
    expect(raft).toMatchObject({ leader: "", role: { kind: "follower" } });
    receive(raft, requestVote({ term: 2 }));
    expect(raft.leader).toBe("");
  });

  it("counts from when the leader was heard, not from the start (thesis 4.2.3)", () => {
    const raft = newCore();
    for (let sequence = 1; sequence <= 6; sequence++) {
      tick(raft, 5);
      receive(raft, appendEntries({ sequence }));
    }
    drain(raft);
    tick(raft, 5);
    receive(raft, requestVote({ from: "c", term: 2 }));
    expect(drain(raft).messages).toMatchObject([{ to: "c", granted: false, term: 1 }]);
  });
});

describe("the election timer (§5.2)", () => {
  it("starts anew when office or candidacy ends", () => {
    const raft = newCore();
    electAndSettle(raft);
    for (let i = 0; i < 30; i++) {
      tick(raft);
      answerAll(raft, drain(raft).messages);
    }
    receive(raft, { ...accepted(appendEntries({ from: "a", to: "b" })), term: 2 });
    expect(raft.electionAtTicks).toBe(raft.nowTicks + 10);
  });

  it("of a follower goes on when it only learns of a higher term", () => {
    const raft = newCore({}, diskWith([1]));
    tick(raft, 5);
    receive(raft, requestVote({ term: 7 }));
    expect(raft).toMatchObject({ currentTerm: 7, electionAtTicks: 10 });
  });

  it("starts anew with the election itself, after the pre-vote", () => {
    const raft = newCore();
    timeOut(raft);
    tick(raft, 5);
    receive(raft, grant({ ...requestVote({ from: "a", to: "b" }), preVote: true }));
    expect(raft).toMatchObject({ role: { kind: "candidate" }, electionAtTicks: raft.nowTicks + 10 });
  });

  it("is at once for who is alone, not for who leaves a joint configuration (§6)", () => {
    const configuration = { voters: ["a"], outgoing: ["b", "c"], learners: [] };
    expect(newCore({ configuration }).electionAtTicks).toBe(10);
    expect(newCore({ configuration: { ...configuration, outgoing: [] } }).electionAtTicks).toBe(1);
  });
});
