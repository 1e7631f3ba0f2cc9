import { quorumValue } from "./quorum.ts";
import type { Raft } from "./raft.ts";
import type { Leader } from "./role.ts";

/** The highest sequence that a quorum has answered: a quorum was in contact after that request was sent. */
export function ackedByQuorum(raft: Raft, role: Leader): number {
  return quorumValue(raft.configuration, (id) =>
    id === raft.id ? Number.POSITIVE_INFINITY : (role.progress.get(id)?.ackedSequence ?? 0),
  );
}

/**
 * Check-quorum (§6.2 of the thesis): once in a shortest election timeout a quorum must have answered something sent
 * since the last check. Returns false when it has not, and the leader has to step down.
 */
export function hasQuorumContact(raft: Raft, role: Leader): boolean {
  if (raft.nowTicks < role.contact.untilTicks) return true;
  if (ackedByQuorum(raft, role) < role.contact.fromSequence) return false;
  role.contact = {
    fromSequence: role.sequence + 1,
    untilTicks: raft.nowTicks + raft.options.electionTimeoutMinTicks,
  };
  return true;
}
