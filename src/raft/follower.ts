import { assert } from "../assert.ts";
import type { Raft, RaftOptions } from "./raft.ts";
import { failReads } from "./read-index.ts";
import type { NodeId } from "./types.ts";

/** Drawn anew for every election, so that candidates seldom collide (§5.2). */
export function randomTimeoutTicks(options: RaftOptions): number {
  const { electionTimeoutMinTicks: min, electionTimeoutMaxTicks: max } = options;
  return min + options.random(max - min + 1);
}

export function resetElectionTimer(raft: Raft): void {
  raft.electionAtTicks = raft.nowTicks + randomTimeoutTicks(raft.options);
}

/** Follows `leader`, "" when it isn't known yet, in `term`. A vote given in the same term stays given. */
export function becomeFollower(raft: Raft, term: number, leader: NodeId): void {
  assert(term >= raft.currentTerm, `the term would fall from ${raft.currentTerm} to ${term}`);
  if (term > raft.currentTerm) raft.setHardState(term, "");
  if (raft.role.kind === "leader") failReads(raft, raft.role);
  // A follower that only learns of a higher term keeps its timer: a disruptive candidate can't hold off elections.
  if (raft.role.kind !== "follower") resetElectionTimer(raft);
  raft.role = {
    kind: "follower",
    leader,
    heardTicks: Number.NEGATIVE_INFINITY,
    // What is committed is in every leader's log, and the base is.
    verified: raft.log.base.index,
    acceptedSequence: 0,
    answerDue: false,
  };
}
