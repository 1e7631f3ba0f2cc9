import { becomeFollower, resetElectionTimer } from "./follower.ts";
import type { RequestVote, RequestVoteResponse } from "./message.ts";
import { allMembers, isLost, isQuorum, isVoter } from "./quorum.ts";
import type { Raft } from "./raft.ts";
import { giveWay, hurryAgain, isLeaderRefused, randomSplitTicks } from "./refusal.ts";
import { becomeLeader } from "./replication.ts";
import { type EntryId, MAX_TERM } from "./types.ts";

/**
 * The election timer fired, or the leader is refused: first ask whether an election could be won, so that a cut-off node
 * inflates no term.
 */
export function maybeCampaign(raft: Raft): void {
  resetElectionTimer(raft);
  hurryAgain(raft);
  // With a disk that hangs this node could neither vote for itself nor lead.
  const canLead = isVoter(raft.configuration, raft.id) && !raft.isDiskOverdue && raft.currentTerm < MAX_TERM;
  if (!canLead) return;
  raft.role = { kind: "preCandidate", votes: new Map([[raft.id, true]]) };
  askForVotes(raft, raft.currentTerm + 1, true);
  countVotes(raft);
}

function becomeCandidate(raft: Raft): void {
  const hasHurried = isLeaderRefused(raft);
  raft.setHardState(raft.currentTerm + 1, raft.id);
  raft.role = { kind: "candidate", votes: new Map([[raft.id, true]]) };
  resetElectionTimer(raft);
  if (hasHurried) raft.electionAtTicks = raft.nowTicks + randomSplitTicks(raft.options);
  // These wait in the outbox until the term and the vote are durable, and with them every entry that they advertise:
  // turns are persisted in order.
  askForVotes(raft, raft.currentTerm, false);
  countVotes(raft);
}

function askForVotes(raft: Raft, term: number, preVote: boolean): void {
  for (const to of allMembers(raft.configuration)) {
    if (to === raft.id || !isVoter(raft.configuration, to)) continue;
    raft.send({ kind: "requestVote", from: raft.id, to, term, lastLog: raft.log.lastId, preVote });
  }
}

function countVotes(raft: Raft): void {
  const { role } = raft;
  if (role.kind !== "preCandidate" && role.kind !== "candidate") return;
  if (isQuorum(raft.configuration, (id) => role.votes.get(id) === true)) {
    if (role.kind === "preCandidate") becomeCandidate(raft);
    else becomeLeader(raft);
  } else if (isLost(raft.configuration, (id) => role.votes.get(id) === false)) {
    becomeFollower(raft, raft.currentTerm, "");
  }
}

export function onRequestVote(raft: Raft, request: RequestVote): void {
  // Who hears a leader helps nobody to depose it: not with a vote, and not by entering a higher term (thesis 4.2.3).
  if (hasLeader(raft)) return answer(raft, request, false);
  const upToDate = isUpToDate(request.lastLog, raft.log.lastId);
  if (request.preVote) {
    // A pre-vote changes nothing here but who hurries, and doesn't count as word from a leader.
    const granted = request.term > raft.currentTerm && upToDate;
    if (granted) giveWay(raft, request.from);
    return answer(raft, request, granted);
  }
  if (request.term > raft.currentTerm) becomeFollower(raft, request.term, "");
  const free = raft.votedFor === "" || raft.votedFor === request.from;
  const granted = request.term === raft.currentTerm && free && upToDate;
  if (granted) {
    if (raft.votedFor === "") raft.setHardState(raft.currentTerm, request.from);
    resetElectionTimer(raft);
  }
  answer(raft, request, granted);
}

function answer(raft: Raft, request: RequestVote, granted: boolean): void {
  raft.send({
    kind: "requestVoteResponse",
    from: raft.id,
    to: request.from,
    term: granted ? request.term : raft.currentTerm,
    granted,
    preVote: request.preVote,
    electionTerm: request.term,
  });
}

export function onRequestVoteResponse(raft: Raft, response: RequestVoteResponse): void {
  const { role } = raft;
  // An answer to an earlier election, or to the pre-vote before this election, says nothing about this one.
  if (response.preVote) {
    if (role.kind !== "preCandidate" || response.electionTerm !== raft.currentTerm + 1) return;
  } else if (role.kind !== "candidate" || response.electionTerm !== raft.currentTerm) {
    return;
  }
  if (!isVoter(raft.configuration, response.from)) return;
  role.votes.set(response.from, response.granted);
  countVotes(raft);
}

/** §5.4.1: a later last term wins, and with equal terms a longer log. */
function isUpToDate(candidate: EntryId, own: EntryId): boolean {
  return candidate.term > own.term || (candidate.term === own.term && candidate.index >= own.index);
}

/** Whether this node leads, or has heard its term's leader, who isn't refused, within the shortest election timeout. */
function hasLeader(raft: Raft): boolean {
  const { role } = raft;
  if (role.kind === "leader") return true;
  if (role.kind !== "follower" || role.leader === "" || isLeaderRefused(raft)) return false;
  return raft.nowTicks - role.heardTicks < raft.options.electionTimeoutMinTicks;
}
