import type { NodeId } from "./types.ts";

/** What the leader knows of one member. Lives as long as the leader's term of office. */
export interface Progress {
  readonly id: NodeId;
  /** The last index known to be on the member's disk. Never falls. */
  match: number;
  /** The next index to send. */
  next: number;
  mode: Probe | Replicate;
  /** The highest sequence that the member has answered: proof that it was in contact after that was sent. */
  ackedSequence: number;
  /** It has answered something new since the leader last looked whether a quorum does. */
  hasAnswered: boolean;
  /** A request is to go out with the next Ready, even without entries. */
  heartbeatDue: boolean;
  /** The highest commit index that was sent. */
  sentCommit: number;
  /** Entries are being fetched from the disk for it. */
  fetching: boolean;
  /** Its log ends before this one begins: entries are of no use to it. */
  needsSnapshot: boolean;
}

/** One request with entries at a time, until the place is found where the logs match. */
export interface Probe {
  readonly kind: "probe";
  /** The request that is out: its sequence and the last index that it carries. */
  sent: { readonly sequence: number; readonly upTo: number } | undefined;
}

/** Requests are pipelined; `next` runs ahead of `match`. */
export interface Replicate {
  readonly kind: "replicate";
  /** Rejections of requests up to this sequence belong to the time before, and say nothing. */
  readonly sinceSequence: number;
  /** Requests with entries that are not yet known to be durable, oldest first. */
  inFlight: InFlight[];
  inFlightBytes: number;
}

interface InFlight {
  readonly last: number;
  readonly bytes: number;
}

export function newProgress(id: NodeId, next: number): Progress {
  return {
    id,
    match: 0,
    next,
    mode: { kind: "probe", sent: undefined },
    ackedSequence: 0,
    hasAnswered: false,
    heartbeatDue: true,
    sentCommit: 0,
    fetching: false,
    needsSnapshot: false,
  };
}

export function becomeProbe(progress: Progress, next: number): void {
  progress.mode = { kind: "probe", sent: undefined };
  progress.next = Math.max(next, progress.match + 1);
  progress.fetching = false;
  progress.heartbeatDue = true;
  progress.sentCommit = 0;
}

export function becomeReplicate(progress: Progress, next: number, sinceSequence: number): void {
  progress.mode = { kind: "replicate", sinceSequence, inFlight: [], inFlightBytes: 0 };
  progress.next = Math.max(next, progress.match + 1);
}

/** Raises `match` and lets go of the requests that it covers. Returns whether it rose. */
export function maybeAdvance(progress: Progress, match: number): boolean {
  if (match <= progress.match) return false;
  progress.match = match;
  progress.next = Math.max(progress.next, match + 1);
  if (progress.mode.kind === "replicate") {
    const { mode } = progress;
    const open = mode.inFlight.findIndex((request) => request.last > match);
    const done = mode.inFlight.splice(0, open === -1 ? mode.inFlight.length : open);
    for (const request of done) mode.inFlightBytes -= request.bytes;
  }
  return true;
}
