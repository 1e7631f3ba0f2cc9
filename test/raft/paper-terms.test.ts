import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Message } from "../../src/raft/message.ts";
import {
  accepted,
  appendEntries,
  diskWith,
  drain,
  elect,
  grant,
  newCore,
  receive,
  requestVote,
  tick,
  timeOut,
} from "../support/core.ts";
import { voteOf } from "./votes.ts";

/** Each kind of message in `term`, from b to a; answers are refusals, as those of a later term are. */
const inTerm = (term: number): Message[] => [
  requestVote({ term }),
  { ...grant(requestVote({ from: "a", to: "b", term: 1 })), granted: false, term },
  appendEntries({ term }),
  { ...accepted(appendEntries({ from: "a", to: "b" }), 0), success: false, term, sequence: 0 },
];

/** Cores in term 2, by role. */
const roles = {
  follower: () => newCore({}, diskWith([], 2)),
  preCandidate: () => {
    const raft = newCore({}, diskWith([], 2));
    timeOut(raft);
    return raft;
  },
  candidate: () => {
    const raft = newCore({}, diskWith([], 1));
    timeOut(raft);
    receive(raft, voteOf("b", 2, true));
    return raft;
  },
  leader: () => {
    const raft = newCore({}, diskWith([], 1));
    elect(raft);
    return raft;
  },
};

/** Every role with every message of `term`. */
const casesOf = (term: number) =>
  Object.entries(roles).flatMap(([role, make]) =>
    inTerm(term).map((message) => ({ role, make, message, kind: message.kind })),
  );

describe("terms (§5.1)", () => {
  // The exception: a leader hears of a higher term from those who answer it, and not from a candidate (thesis 4.2.3).
  it.each(casesOf(5).filter(({ role, kind }) => role !== "leader" || kind !== "requestVote"))(
    "who sees a higher term enters it, as a follower: a $role, in $kind (§5.1)",
    ({ role, make, message }) => {
      const raft = make();
      expect(raft).toMatchObject({ role: { kind: role }, currentTerm: 2 });
      receive(raft, message);
      expect(raft).toMatchObject({ role: { kind: "follower" }, currentTerm: 5 });
      expect(drain(raft).writes[0]?.hardState?.currentTerm).toBe(5);
    },
  );

  it.each(casesOf(1))("who gets something of an earlier term stays what it is: a $role, $kind (§5.1)", (example) => {
    const raft = example.make();
    drain(raft);
    const before = { ...raft.role };
    receive(raft, example.message);
    expect(raft).toMatchObject({ role: before, currentTerm: 2 });
  });

  it.each(Object.entries(roles))(
    "requests of an earlier term are rejected, with the current one in the answer: by a %s (§5.1)",
    (_, make) => {
      const raft = make();
      drain(raft);
      receive(raft, requestVote({ term: 1, lastLog: { index: 9, term: 1 } }));
      receive(raft, appendEntries({ term: 1 }));
      expect(drain(raft).messages).toMatchObject([
        { kind: "requestVoteResponse", term: 2, granted: false },
        { kind: "appendEntriesResponse", term: 2, success: false },
      ]);
    },
  );

  it("each election begins the term that follows the one before (§5.1)", () => {
    const raft = newCore();
    for (const term of [1, 2, 3, 4]) {
      timeOut(raft);
      receive(raft, voteOf("b", term, true));
      expect(raft).toMatchObject({ role: { kind: "candidate" }, currentTerm: term });
      drain(raft);
    }
  });

  it("a term may end without a leader; its votes count for nothing in the next one (§5.1)", () => {
    const raft = newCore();
    timeOut(raft);
    receive(raft, voteOf("b", 1, true));
    receive(raft, { ...voteOf("b", 1), granted: false });
    timeOut(raft);
    receive(raft, voteOf("c", 2, true));
    receive(raft, { ...voteOf("c", 2), granted: false });
    // Refused in both terms by one each, which lost neither election.
    expect(raft).toMatchObject({ role: { kind: "candidate" }, currentTerm: 2 });
    receive(raft, voteOf("b", 2));
    expect(raft.role.kind).toBe("leader");
  });

  it("the current term never falls, whatever comes in whatever order (§5.1, PITFALL 14)", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.nat(3), term: fc.integer({ min: 1, max: 9 }) }),
      fc.constant("tick" as const),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const raft = newCore();
        let seen = 0;
        for (const each of steps) {
          if (each === "tick") tick(raft, 7);
          else receive(raft, inTerm(each.term)[each.kind] ?? requestVote());
          drain(raft);
          expect(raft.currentTerm).toBeGreaterThanOrEqual(seen);
          seen = raft.currentTerm;
        }
      }),
    );
  });
});
