import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import { checkInvariants } from "../../src/raft/invariants.ts";
import type { Raft } from "../../src/raft/raft.ts";
import { becomeLeader } from "../../src/raft/replication.ts";
import {
  commands,
  diskWith,
  electAndSettle,
  grant,
  newCore,
  progressOf,
  receive,
  requestVote,
  timeOut,
} from "../support/core.ts";

const snapshot = {
  hardState: { currentTerm: 3, votedFor: "" },
  base: { index: 5, term: 2 },
  snapshot: { index: 5, term: 2 },
  lastIndex: 5,
  termStarts: [],
};

function leader(): Raft {
  const raft = newCore();
  electAndSettle(raft);
  return raft;
}

function candidate(): Raft {
  const raft = newCore();
  timeOut(raft);
  receive(raft, grant({ ...requestVote({ from: "a", to: "b" }), preVote: true }));
  return raft;
}

describe("an invariant that is broken is fatal", () => {
  it.each<[string, Raft, (raft: Raft) => void]>([
    ["applied below the base", newCore({}, snapshot), (raft) => Object.assign(raft, { lastApplied: 4 })],
    [
      "applied above the commit index",
      newCore({}, diskWith([1, 1])),
      (raft) => Object.assign(raft, { lastApplied: 1 }),
    ],
    ["committed beyond the log", newCore({}, diskWith([1, 1])), (raft) => Object.assign(raft, { commitIndex: 3 })],
    [
      "applied before it is durable",
      newCore({}, diskWith([1, 1])),
      (raft) => {
        raft.log.append(commands(3, 1, 1));
        Object.assign(raft, { commitIndex: 3, lastApplied: 3 });
      },
    ],
    ["durable beyond the log", newCore({}, diskWith([1, 1])), (raft) => raft.log.truncateFrom(2)],
    ["an entry of a later term", newCore({}, diskWith([1, 2])), (raft) => Object.assign(raft, { currentTerm: 1 })],
    ["a match that is yet to be sent", leader(), (raft) => Object.assign(progressOf(raft, "b"), { match: 2 })],
    ["sent beyond the log", leader(), (raft) => Object.assign(progressOf(raft, "c"), { next: 3 })],
    ["a leader that voted for another", leader(), (raft) => Object.assign(raft, { votedFor: "b" })],
    ["a candidate that voted for nobody", candidate(), (raft) => Object.assign(raft, { votedFor: "" })],
  ])("%s", (_, raft, breakIt) => {
    expect(() => checkInvariants(raft)).not.toThrow();
    breakIt(raft);
    expect(() => checkInvariants(raft)).toThrow(InvariantError);
  });

  it("after every turn", () => {
    const raft = newCore({}, diskWith([1, 1]));
    raft.commitIndex = 3;
    expect(() => raft.takeReady()).toThrow(InvariantError);
  });

  it("at the start too: a disk whose entries are of later terms than it has entered", () => {
    expect(() => newCore({}, diskWith([1, 2], 1))).toThrow(InvariantError);
  });

  it("only a candidate takes office", () => {
    expect(() => becomeLeader(newCore())).toThrow("cannot become leader");
  });
});
