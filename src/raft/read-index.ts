import { ackedByQuorum } from "./contact.ts";
import type { Raft } from "./raft.ts";
import type { Leader } from "./role.ts";

/**
 * Linearizable reads without a log entry (thesis 6.4). A barrier's index is the commit index at a time after the
 * request came, in a term in which the leader has committed; it holds once a quorum has answered something sent after
 * the request came, which proves that nobody else had committed more by then.
 */
export function onReadIndex(raft: Raft, id: number): void {
  if (raft.role.kind === "leader") raft.role.reads.waiting.push(id);
  else raft.reads.push({ kind: "notLeader", id });
}

/** Asks for the barriers that came, all with one round of requests, and answers those that a quorum has confirmed. */
export function takeReads(raft: Raft): void {
  const { role } = raft;
  if (role.kind !== "leader") return;
  const { reads } = role;
  // Before that the commit index may lag behind what the predecessors have acknowledged.
  if (reads.waiting.length > 0 && raft.commitIndex >= role.noOpIndex) {
    reads.asked.push({ sequence: role.sequence + 1, index: raft.commitIndex, ids: reads.waiting });
    reads.waiting = [];
    for (const progress of role.progress.values()) progress.heartbeatDue = true;
  }
  if (reads.asked.length === 0) return;
  const acked = ackedByQuorum(raft, role);
  for (let read = reads.asked[0]; read !== undefined && read.sequence <= acked; read = reads.asked[0]) {
    reads.asked.shift();
    for (const id of read.ids) {
      raft.reads.push({ kind: "readIndex", id, index: read.index, term: raft.currentTerm });
    }
  }
}

/** The leader steps down: whoever waits has to ask its successor. */
export function failReads(raft: Raft, role: Leader): void {
  const ids = [...role.reads.asked.flatMap((read) => read.ids), ...role.reads.waiting];
  for (const id of ids) raft.reads.push({ kind: "notLeader", id });
}
