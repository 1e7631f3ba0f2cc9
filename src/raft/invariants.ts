import { assert } from "../assert.ts";
import type { Raft } from "./raft.ts";

/** Holds after every turn, in production too. Cheap: a few comparisons. */
export function checkInvariants(raft: Raft): void {
  const { log, durability } = raft;
  const last = log.lastId;
  assert(
    log.base.index <= raft.lastApplied && raft.lastApplied <= raft.commitIndex && raft.commitIndex <= last.index,
    `base ${log.base.index} <= applied ${raft.lastApplied} <= commit ${raft.commitIndex} <= last ${last.index}`,
  );
  assert(
    raft.lastApplied <= durability.index && durability.index <= last.index,
    `applied ${raft.lastApplied} <= durable ${durability.index} <= last ${last.index}`,
  );
  assert(last.term <= raft.currentTerm, `the last entry's term ${last.term} is above the current ${raft.currentTerm}`);
  if (raft.role.kind === "leader") {
    for (const progress of raft.role.progress.values()) {
      assert(
        progress.match < progress.next && progress.next <= last.index + 1,
        `of ${progress.id}: match ${progress.match} < next ${progress.next} <= last ${last.index} + 1`,
      );
    }
  }
  if (raft.role.kind === "candidate" || raft.role.kind === "leader") {
    assert(raft.votedFor === raft.id, `a ${raft.role.kind} has voted for ${raft.votedFor || "nobody"}`);
  }
}
