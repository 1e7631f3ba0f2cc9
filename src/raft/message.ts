import type { EntryId, Frame, NodeId } from "./types.ts";

/**
 * What the members say to each other (Figure 2). The core assumes neither order nor exactly-once of whatever carries
 * these: they may be lost, late, twice and out of order.
 */
export type Message = RequestVote | RequestVoteResponse | AppendEntries | AppendEntriesResponse;

interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  /** The sender's current term; of a pre-vote request, and of the answer that grants it, the term after it. */
  readonly term: number;
}

export interface RequestVote extends Envelope {
  readonly kind: "requestVote";
  readonly lastLog: EntryId;
  /** Asks only whether a vote would be given (thesis 9.6). */
  readonly preVote: boolean;
}

export interface RequestVoteResponse extends Envelope {
  readonly kind: "requestVoteResponse";
  readonly granted: boolean;
  /** Those of the request that is answered: an answer counts only in the election that it belongs to. */
  readonly preVote: boolean;
  readonly electionTerm: number;
}

export interface AppendEntries extends Envelope {
  readonly kind: "appendEntries";
  /** The entry before the first of `frames`. */
  readonly prev: EntryId;
  /** None in a heartbeat. */
  readonly frames: readonly Frame[];
  readonly leaderCommit: number;
  /** Rises with every request of this leader in this term, from 1. */
  readonly sequence: number;
  /** Only without `frames`: the leader's newest snapshot, for nobody but the receiver's node. */
  readonly offer?: SnapshotOffer | undefined;
}

/** A snapshot that can be had of the sender. */
export interface SnapshotOffer {
  /** The last entry that it covers. */
  readonly last: EntryId;
  /** The leader's log begins too late for the receiver, which can follow only from a snapshot on. */
  readonly isNeeded: boolean;
}

export interface AppendEntriesResponse extends Envelope {
  readonly kind: "appendEntriesResponse";
  readonly success: boolean;
  /** To where the sender's log matches the leader's, on the sender's disk. */
  readonly match: number;
  /** With `success` false: the highest entry of the sender at which the logs may match. */
  readonly conflict: EntryId | undefined;
  /**
   * The highest sequence accepted from this leader in its term; with `success` false that of the rejected request, or 0
   * when that came from an earlier term.
   */
  readonly sequence: number;
  /** The last entry that the sender's newest snapshot covers, for nobody but the receiver's node. */
  readonly snapshot?: EntryId | undefined;
}
