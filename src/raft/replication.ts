import { assert } from "../assert.ts";
import { hasQuorumContact } from "./contact.ts";
import { becomeFollower } from "./follower.ts";
import type { Fetch } from "./input.ts";
import type { AppendEntriesResponse, SnapshotOffer } from "./message.ts";
import { becomeProbe, becomeReplicate, maybeAdvance, newProgress, type Progress } from "./progress.ts";
import { allMembers, quorumValue } from "./quorum.ts";
import type { Raft } from "./raft.ts";
import type { Leader } from "./role.ts";
import { type EntryId, EntryType, type Frame, type NodeId, type ProposalIds, ZERO_ID } from "./types.ts";

/** Takes office: nothing of earlier terms commits before an entry of this one does (§5.4.2), so append one at once. */
export function becomeLeader(raft: Raft): void {
  assert(raft.role.kind === "candidate", `a ${raft.role.kind} cannot become leader`);
  const next = raft.log.lastIndex + 1;
  raft.termLeader = raft.id;
  raft.role = {
    kind: "leader",
    progress: new Map(
      allMembers(raft.configuration)
        .filter((id) => id !== raft.id)
        .map((id) => [id, newProgress(id, next)]),
    ),
    sequence: 0,
    noOpIndex: next,
    contactUntilTicks: raft.nowTicks + raft.options.electionTimeoutMinTicks,
    reads: { waiting: [], asked: [] },
    heartbeatTicks: raft.nowTicks,
  };
  // The first entry of a new log gives it its identity.
  if (raft.log.lastIndex === ZERO_ID.index) appendAsLeader(raft, EntryType.logId, [raft.options.newLogId]);
  else appendAsLeader(raft, EntryType.noOp, [new Uint8Array(0)]);
}

/** Appends to the leader's own log. It only ever grows (Leader Append-Only, §5.3). */
export function appendAsLeader(
  raft: Raft,
  type: EntryType,
  payloads: readonly Uint8Array[],
  ids?: ProposalIds | undefined,
): EntryId {
  const first = { index: raft.log.lastIndex + 1, term: raft.currentTerm };
  raft.log.append(raft.options.encodeFrame(first, type, payloads, ids));
  return first;
}

/** The tick at which the next heartbeat is due, or the next look at who was in contact. */
export function leaderDueAt(raft: Raft, role: Leader): number {
  return Math.min(role.heartbeatTicks + raft.options.heartbeatTicks, role.contactUntilTicks);
}

export function onLeaderTick(raft: Raft, role: Leader): void {
  // What a leader with a hung disk acknowledges rests on the others alone; somebody whose disk works shall lead.
  if (raft.isDiskOverdue) return becomeFollower(raft, raft.currentTerm, "");
  if (!hasQuorumContact(raft, role)) return becomeFollower(raft, raft.currentTerm, "");
  if (raft.nowTicks - role.heartbeatTicks >= raft.options.heartbeatTicks) {
    role.heartbeatTicks = raft.nowTicks;
    for (const progress of role.progress.values()) progress.heartbeatDue = true;
  }
}

/** Commits what a quorum has on its disks; this node's own disk counts like any other (thesis 10.2.1). */
export function maybeCommit(raft: Raft): void {
  const { role } = raft;
  if (role.kind !== "leader") return;
  const onQuorum = quorumValue(raft.configuration, (id) =>
    id === raft.id ? raft.durability.index : (role.progress.get(id)?.match ?? 0),
  );
  // Counting replicas commits entries of the leader's own term only; older ones with them, never alone (Figure 8).
  if (onQuorum > raft.commitIndex && raft.log.termAt(onQuorum) === raft.currentTerm) raft.commitIndex = onQuorum;
}

export function onAppendEntriesResponse(raft: Raft, response: AppendEntriesResponse): void {
  const { role } = raft;
  if (role.kind !== "leader" || response.term < raft.currentTerm) return;
  const progress = role.progress.get(response.from);
  // An answer to an earlier term's request says nothing here; and nobody can have answered, or hold, what was never sent.
  if (response.sequence === 0) return;
  if (progress === undefined || response.sequence > role.sequence || response.match > raft.log.lastIndex) return;
  if (response.sequence > progress.ackedSequence) {
    progress.ackedSequence = response.sequence;
    progress.hasAnswered = true;
  }
  if (response.success) onAccepted(role, progress, response);
  else onRejected(raft, progress, response.sequence, response.conflict ?? ZERO_ID);
}

function onAccepted(role: Leader, progress: Progress, response: AppendEntriesResponse): void {
  maybeAdvance(progress, response.match);
  progress.needsSnapshot = false;
  const { mode } = progress;
  if (mode.kind !== "probe" || mode.sent === undefined || response.sequence < mode.sent.sequence) return;
  // All requests since the probe went to the same place, so that is where the logs match. That the probe's entries
  // arrived is a guess: if they didn't, the next request is rejected and the search goes on.
  becomeReplicate(progress, mode.sent.upTo + 1, role.sequence);
}

function onRejected(raft: Raft, progress: Progress, sequence: number, conflict: EntryId): void {
  const { mode } = progress;
  const isStale =
    mode.kind === "probe" ? mode.sent === undefined || sequence < mode.sent.sequence : sequence <= mode.sinceSequence;
  if (isStale) return;
  // Where the follower's hint lies in a term that this log doesn't hold, skip that term too: a round trip a term.
  const next = Math.max(raft.log.lastNotAfter(conflict).index, progress.match) + 1;
  // There may be no earlier place to look: the rejection was overtaken by an acceptance, or the member is behind where
  // the log begins. The heartbeats go on asking.
  if (next < progress.next) becomeProbe(progress, next);
  else if (progress.match < raft.log.base.index) progress.needsSnapshot = true;
}

/** The log begins later now. Who was to be sent what is gone is asked whether it has it. */
export function onCompacted(raft: Raft): void {
  if (raft.role.kind !== "leader") return;
  const { firstIndex } = raft.log;
  for (const progress of raft.role.progress.values()) {
    if (progress.next < firstIndex) becomeProbe(progress, firstIndex);
  }
}

export function onUnreachable(raft: Raft, member: NodeId): void {
  const progress = raft.role.kind === "leader" ? raft.role.progress.get(member) : undefined;
  if (progress === undefined) return;
  const next = progress.mode.kind === "replicate" ? progress.match + 1 : progress.next;
  becomeProbe(progress, Math.max(next, raft.log.firstIndex));
  // With the connection gone there is no hurry: the next heartbeat probes.
  progress.heartbeatDue = false;
}

/** Composes what is to be sent, for all inputs of a turn together. Of commits up to `commitToTell` all members are told. */
export function replicate(raft: Raft, commitToTell: number): void {
  const { role } = raft;
  if (role.kind !== "leader") return;
  for (const progress of role.progress.values()) {
    if (progress.mode.kind === "replicate") sendPipelined(raft, role, progress);
    else if (progress.mode.sent === undefined && progress.heartbeatDue) sendProbe(raft, role, progress);
    if (progress.heartbeatDue || isCommitNews(raft, progress, commitToTell)) sendAppend(raft, role, progress, []);
  }
}

/** Whether a leader has members that have everything, but don't know that it is committed up to `index`. */
export function isCommitUntold(raft: Raft, index: number): boolean {
  const { role } = raft;
  if (role.kind !== "leader") return false;
  return [...role.progress.values()].some((progress) => isCommitNews(raft, progress, index));
}

/** Entries go along when they are at hand: they usually fit, and save a round trip. */
function sendProbe(raft: Raft, role: Leader, progress: Progress): void {
  sendAppend(raft, role, progress, raft.log.framesFrom(progress.next, raft.options.maxAppendBytes) ?? []);
}

function sendPipelined(raft: Raft, role: Leader, progress: Progress): void {
  while (progress.next <= raft.log.lastIndex && !progress.fetching && hasWindow(raft, progress)) {
    const frames = raft.log.framesFrom(progress.next, raft.options.maxAppendBytes);
    if (frames === undefined) return fetch(raft, progress);
    sendAppend(raft, role, progress, frames);
  }
}

function hasWindow(raft: Raft, { mode }: Progress): boolean {
  return (
    mode.kind === "replicate" &&
    mode.inFlight.length < raft.options.maxInFlight &&
    mode.inFlightBytes < raft.options.maxInFlightBytes
  );
}

/** Entries bring the news of a commit along; a member that has everything is told without them, so that its service knows. */
function isCommitNews(raft: Raft, progress: Progress, index: number): boolean {
  const toTell = Math.min(index, raft.commitIndex, progress.next - 1);
  return progress.mode.kind === "replicate" && progress.sentCommit < toTell;
}

function fetch(raft: Raft, progress: Progress): void {
  progress.fetching = true;
  raft.fetches.push({
    member: progress.id,
    term: raft.currentTerm,
    first: progress.next,
    last: raft.log.firstInMemory - 1,
    maxBytes: raft.options.maxAppendBytes,
  });
}

export function onFetched(raft: Raft, fetched: Fetch, frames: readonly Frame[]): void {
  const { role } = raft;
  if (role.kind !== "leader" || fetched.term !== raft.currentTerm) return;
  const progress = role.progress.get(fetched.member);
  if (progress === undefined || !progress.fetching) return;
  progress.fetching = false;
  // The search may have moved on while the disk read.
  const isWanted = progress.mode.kind === "replicate" && progress.next === fetched.first;
  if (isWanted) sendAppend(raft, role, progress, frames);
}

function sendAppend(raft: Raft, role: Leader, progress: Progress, frames: readonly Frame[]): void {
  const prevIndex = progress.next - 1;
  const prevTerm = raft.log.termAt(prevIndex);
  assert(prevTerm !== undefined, `entry ${prevIndex}, before the first to send, is not in the log`);
  const sequence = ++role.sequence;
  const upTo = frames.at(-1)?.last ?? prevIndex;
  raft.send({
    kind: "appendEntries",
    from: raft.id,
    to: progress.id,
    term: raft.currentTerm,
    prev: { index: prevIndex, term: prevTerm },
    frames,
    leaderCommit: raft.commitIndex,
    sequence,
    offer: frames.length > 0 || raft.snapshot.index === 0 ? undefined : offerTo(raft, progress),
  });
  const { mode } = progress;
  // In a pipeline entries don't stand in for a heartbeat: they are answered only when they are durable.
  if (mode.kind === "probe" || frames.length === 0) progress.heartbeatDue = false;
  progress.sentCommit = Math.min(raft.commitIndex, upTo);
  if (mode.kind === "probe") {
    mode.sent ??= { sequence, upTo };
  } else if (frames.length > 0) {
    const bytes = frames.reduce((sum, frame) => sum + frame.bytes.length, 0);
    mode.inFlight.push({ last: upTo, bytes });
    mode.inFlightBytes += bytes;
    progress.next = upTo + 1;
  }
}

function offerTo({ snapshot }: Raft, { needsSnapshot }: Progress): SnapshotOffer {
  return { last: snapshot, isNeeded: needsSnapshot };
}
