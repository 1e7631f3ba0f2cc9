import { becomeFollower } from "./follower.ts";
import type { Raft, RaftOptions } from "./raft.ts";
import type { NodeId } from "./types.ts";

/**
 * The hint that the leader's process died: the connection to it broke, and its machine refuses another one. It saves the
 * wait for the election timer and is no proof: a leader that lives may be refused, too. So it only lets a node ask sooner
 * and, with everything else that a vote needs, be voted for sooner. It belongs to the leader of one term and is over
 * with the term, with the leader's next word, when its process takes a connection again, or after the longest election
 * timeout.
 */
export function onRefused(raft: Raft, member: NodeId): void {
  if (member !== raft.termLeader || isLeaderRefused(raft)) return;
  raft.hurryAtTicks = raft.nowTicks + randomHurryTicks(raft.options);
  raft.hurryUntilTicks = raft.nowTicks + raft.options.electionTimeoutMaxTicks;
}

export function onReachable(raft: Raft, member: NodeId): void {
  if (member === raft.termLeader) forgetRefusal(raft);
}

export function forgetRefusal(raft: Raft): void {
  raft.hurryAtTicks = Number.POSITIVE_INFINITY;
}

export function isLeaderRefused(raft: Raft): boolean {
  return raft.hurryAtTicks < Number.POSITIVE_INFINITY;
}

/** A campaign begins: should it fail while the hint holds, the next one comes as soon. */
export function hurryAgain(raft: Raft): void {
  if (!isLeaderRefused(raft)) return;
  if (raft.nowTicks >= raft.hurryUntilTicks) forgetRefusal(raft);
  else raft.hurryAtTicks = raft.nowTicks + randomHurryTicks(raft.options);
}

/**
 * Somebody else asks for a pre-vote and gets it: the election of one is enough, and two at once split the votes. Of two
 * that ask each other the one whose name comes first goes on. Only the hurry waits; the election timer goes on.
 */
export function giveWay(raft: Raft, candidate: NodeId): void {
  if (!isLeaderRefused(raft)) return;
  if (raft.role.kind === "preCandidate") {
    if (raft.id < candidate) return;
    becomeFollower(raft, raft.currentTerm, "");
  }
  raft.hurryAtTicks = raft.nowTicks + longestHurryTicks(raft.options) + randomHurryTicks(raft.options);
}

/** For a candidate that hurried and whose votes were split all the same: time enough for an election, and then another. */
export function randomSplitTicks({ electionTimeoutMinTicks, random }: RaftOptions): number {
  const half = Math.ceil(electionTimeoutMinTicks / 2);
  return half + random(half);
}

/** Random, as those who follow a leader that dies learn of it at the same time. */
function randomHurryTicks(options: RaftOptions): number {
  return 1 + options.random(longestHurryTicks(options));
}

function longestHurryTicks({ electionTimeoutMinTicks }: RaftOptions): number {
  return Math.ceil(electionTimeoutMinTicks / 5);
}
