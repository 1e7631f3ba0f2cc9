import { assert } from "../assert.ts";
import type { Raft } from "./raft.ts";
import { onCompacted } from "./replication.ts";
import type { EntryId } from "./types.ts";

/** The snapshot that the others are offered; an older one changes nothing. */
export function onSnapshot(raft: Raft, last: EntryId): void {
  assert(last.index <= raft.lastApplied, `a snapshot covers ${last.index}, and ${raft.lastApplied} is applied`);
  if (last.index > raft.snapshot.index) raft.snapshot = last;
}

/** Forgets entries that a snapshot covers (§7). */
export function onCompact(raft: Raft, index: number): void {
  assert(
    index <= raft.lastApplied && index <= raft.snapshot.index,
    `the log is cut off at ${index}, applied ${raft.lastApplied}, and the newest snapshot is at ${raft.snapshot.index}`,
  );
  if (index <= raft.log.base.index) return;
  raft.log.compactTo(index);
  onCompacted(raft);
}

/**
 * Goes on from another member's snapshot (§7). What it covers is committed. Where this log holds its last entry, it agrees
 * with it up to there and may be ahead: it is kept. Else the log is replaced, by a disk turn like any other: until that is
 * durable nothing of the snapshot is applied.
 */
export function onInstall(raft: Raft, last: EntryId): void {
  if (last.index <= raft.commitIndex) return;
  if (!raft.log.has(last)) {
    // Whoever leads holds all that is committed (Leader Completeness, §5.4).
    assert(
      raft.role.kind !== "leader",
      `the leader of term ${raft.currentTerm} lacks the committed entry ${last.index}`,
    );
    assert(last.term <= raft.currentTerm, `a snapshot of term ${last.term} is installed in term ${raft.currentTerm}`);
    raft.log.resetTo(last);
    raft.durability.onReset(last, raft.lastApplied);
  }
  raft.commitIndex = last.index;
  if (raft.role.kind === "follower") raft.role.verified = Math.max(raft.role.verified, last.index);
}

/** The disk moved on: what the log was replaced by is this node's own snapshot, once it is there. */
export function onPersistedSnapshot(raft: Raft): void {
  const { base } = raft.log;
  if (base.index > raft.snapshot.index && !raft.durability.isResetting) raft.snapshot = base;
}
