import { assert } from "../assert.ts";
import { becomeFollower, resetElectionTimer } from "./follower.ts";
import { sliceFrame } from "./frame.ts";
import type { AppendEntries } from "./message.ts";
import type { Raft } from "./raft.ts";
import { forgetRefusal } from "./refusal.ts";
import type { Follower } from "./role.ts";
import type { EntryId, Frame } from "./types.ts";

/** The receiver's part of AppendEntries (Figure 2; §5.3). */
export function onAppendEntries(raft: Raft, request: AppendEntries): void {
  if (request.term < raft.currentTerm) {
    // The answer's term makes an old leader step down. It carries no sequence: those of a later term count from 1 again,
    // and a leader of that term, should this reach it late, must not take it for an answer to a request of its own.
    return reject(raft, request, 0, undefined);
  }
  const role = follow(raft, request);
  const lastNew = request.frames.at(-1)?.last ?? request.prev.index;
  if (request.prev.index >= raft.log.base.index && !raft.log.has(request.prev)) {
    assert(request.prev.index > raft.commitIndex, `${request.from} lacks the committed entry ${request.prev.index}`);
    return reject(raft, request, request.sequence, raft.log.lastNotAfter(request.prev));
  }
  append(raft, role, request.frames);
  role.verified = Math.max(role.verified, lastNew);
  role.acceptedSequence = Math.max(role.acceptedSequence, request.sequence);
  // Only what this request has verified may commit: behind it this log may hold entries that the leader's doesn't.
  raft.commitIndex = Math.max(raft.commitIndex, Math.min(request.leaderCommit, lastNew));
  if (request.frames.length === 0 || lastNew <= raft.durability.index) accept(raft, role, request.sequence);
  if (lastNew > raft.durability.index) role.answerDue = true;
}

/** The disk moved on: answers what was accepted before it was durable. One answer serves all of it. */
export function onPersistedAsFollower(raft: Raft): void {
  const { role } = raft;
  if (role.kind !== "follower" || !role.answerDue) return;
  role.answerDue = role.verified > raft.durability.index;
  accept(raft, role, role.acceptedSequence);
}

/** Recognizes the sender as the leader of its term. */
function follow(raft: Raft, request: AppendEntries): Follower {
  if (request.term > raft.currentTerm || raft.role.kind !== "follower") {
    becomeFollower(raft, request.term, request.from);
  }
  // Whoever led a term, this node itself included, is the only one that ever does (Election Safety, §5.2).
  assert(
    raft.termLeader === "" || raft.termLeader === request.from,
    `${request.from} and ${raft.termLeader} both lead term ${request.term}`,
  );
  raft.termLeader = request.from;
  const { role } = raft;
  assert(role.kind === "follower", "a node that hears its leader follows");
  role.leader = request.from;
  role.heardTicks = raft.nowTicks;
  forgetRefusal(raft);
  resetElectionTimer(raft);
  return role;
}

/** Appends what is new, after removing what conflicts with it. What already agrees stays, also behind the new. */
function append(raft: Raft, role: Follower, frames: readonly Frame[]): void {
  for (const frame of frames) {
    const first = firstNew(raft, frame);
    if (first > frame.last) continue;
    if (first <= raft.log.lastIndex) {
      assert(
        first > raft.commitIndex && first > role.verified,
        `the leader of term ${raft.currentTerm} replaces entry ${first}, committed up to ${raft.commitIndex}`,
      );
      raft.log.truncateFrom(first);
      raft.durability.onTruncated(first);
    }
    raft.log.append(sliceFrame(frame, first, frame.last));
  }
}

/** The first index of `frame` at which this log holds no entry or another one; past the frame when it holds them all. */
function firstNew(raft: Raft, frame: Frame): number {
  // Up to the base everything is committed, and no longer held.
  let index = Math.max(frame.first, raft.log.firstIndex);
  while (index <= frame.last && raft.log.termAt(index) === frame.term) index++;
  return index;
}

function accept(raft: Raft, role: Follower, sequence: number): void {
  raft.send({
    kind: "appendEntriesResponse",
    from: raft.id,
    to: role.leader,
    term: raft.currentTerm,
    success: true,
    match: Math.min(role.verified, raft.durability.index),
    conflict: undefined,
    sequence,
    snapshot: newestSnapshot(raft),
  });
}

function reject(raft: Raft, request: AppendEntries, sequence: number, conflict: EntryId | undefined): void {
  raft.send({
    kind: "appendEntriesResponse",
    from: raft.id,
    to: request.from,
    term: raft.currentTerm,
    success: false,
    match: 0,
    conflict,
    sequence,
    snapshot: newestSnapshot(raft),
  });
}

function newestSnapshot({ snapshot }: Raft): EntryId | undefined {
  return snapshot.index === 0 ? undefined : snapshot;
}
