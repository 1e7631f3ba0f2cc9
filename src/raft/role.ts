import type { Progress } from "./progress.ts";
import type { NodeId } from "./types.ts";

/** A role holds its own data only: leaving it forgets everything that belonged to it. */
export type Role = Follower | PreCandidate | Candidate | Leader;

export interface Follower {
  readonly kind: "follower";
  /** "" until the term's leader is known. */
  leader: NodeId;
  /** When the leader was heard last. */
  heardTicks: number;
  /** The log is known to equal the leader's up to here. */
  verified: number;
  /** The highest sequence of the leader's requests that were accepted. */
  acceptedSequence: number;
  /** A request was accepted whose entries were not yet durable: an answer is due when they are. */
  answerDue: boolean;
}

/** Asks whether it could win, with its term unchanged (thesis 9.6). */
export interface PreCandidate {
  readonly kind: "preCandidate";
  readonly votes: Map<NodeId, boolean>;
}

export interface Candidate {
  readonly kind: "candidate";
  readonly votes: Map<NodeId, boolean>;
}

export interface Leader {
  readonly kind: "leader";
  /** One for every other member. */
  readonly progress: Map<NodeId, Progress>;
  /** Of the request sent last. */
  sequence: number;
  /** The term's no-op; what the predecessors appended is committed with it. */
  readonly noOpIndex: number;
  /** When a quorum must have answered something new. */
  contactUntilTicks: number;
  readonly reads: PendingReads;
  heartbeatTicks: number;
}

/** Read barriers on their way, oldest first. */
export interface PendingReads {
  /** Came since the last Ready, or wait for the no-op to commit. */
  waiting: number[];
  /** Wait for a quorum to answer a request of at least this sequence. */
  asked: { readonly sequence: number; readonly index: number; readonly ids: readonly number[] }[];
}
