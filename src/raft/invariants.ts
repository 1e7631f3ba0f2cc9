import { assert } from "../assert.ts";
import type { Raft } from "./raft.ts";

/** Holds after every turn, in production too. Cheap: a few comparisons. */
export function checkInvariants(raft: Raft): void {
  const { log, durability } = raft;
  const last = log.lastId;
  // While the disk replaces the log by a snapshot, nothing of the new one is applied yet.
  const agreed = durability.isResetting ? raft.commitIndex : raft.lastApplied;
  assert(
    log.base.index <= agreed && raft.lastApplied <= raft.commitIndex && raft.commitIndex <= last.index,
    `base ${log.base.index} <= applied ${raft.lastApplied} <= commit ${raft.commitIndex} <= last ${last.index}`,
  );
  assert(
    log.base.index <= raft.snapshot.index || durability.isResetting,
    `the log begins after ${log.base.index}, and the newest snapshot is at ${raft.snapshot.index}`,
  );
  assert(
    raft.lastApplied <= durability.index && durability.index <= last.index,
    `applied ${raft.lastApplied} <= durable ${durability.index} <= last ${last.index}`,
  );
  assert(last.term <= raft.currentTerm, `the last entry's term ${last.term} is above the current ${raft.currentTerm}`);
  if (raft.role.kind === "leader") {
    for (const progress of raft.role.progress.values()) {
      assert(
        Math.max(progress.match, log.base.index) < progress.next && progress.next <= last.index + 1,
        `of ${progress.id}: match ${progress.match}, base ${log.base.index} < next ${progress.next} <= last ${last.index} + 1`,
      );
    }
  }
  if (raft.role.kind === "candidate" || raft.role.kind === "leader") {
    assert(raft.votedFor === raft.id, `a ${raft.role.kind} has voted for ${raft.votedFor || "nobody"}`);
  }
}
