import { isQuorum, quorumValue } from "./quorum.ts";
import type { Raft } from "./raft.ts";
import type { Leader } from "./role.ts";

/** The highest sequence that a quorum has answered: a quorum was in contact after that request was sent. */
export function ackedByQuorum(raft: Raft, role: Leader): number {
  return quorumValue(raft.configuration, (id) =>
    id === raft.id ? Number.POSITIVE_INFINITY : (role.progress.get(id)?.ackedSequence ?? 0),
  );
}

/**
 * Check-quorum (§6.2 of the thesis): once in a shortest election timeout a quorum must have answered something that it
 * had not answered at the last check. It need not have been sent since: behind a full pipeline answers are older than
 * that, and come all the same. Returns false when too few have, and the leader has to step down.
 */
export function hasQuorumContact(raft: Raft, role: Leader): boolean {
  if (raft.nowTicks < role.contactUntilTicks) return true;
  if (!isQuorum(raft.configuration, (id) => id === raft.id || role.progress.get(id)?.hasAnswered === true))
    return false;
  for (const progress of role.progress.values()) progress.hasAnswered = false;
  role.contactUntilTicks = raft.nowTicks + raft.options.electionTimeoutMinTicks;
  return true;
}
