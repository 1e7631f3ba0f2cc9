/**
 * The core's vocabulary. Terms and indexes are safe integers: they are converted from the wire once, checked, at the edge.
 */

/** A member's name, from the configuration. */
export type NodeId = string;

/** The largest term and index that is accepted from outside. Far beyond use, far enough below 2^53 to count on from. */
export const MAX_TERM = 2 ** 52;
export const MAX_INDEX = 2 ** 52;

/** How far a message's term may be above a node's own: an election every millisecond for 49 days. */
export const MAX_TERM_LEAP = 2 ** 32;

/** Position and term of an entry. Two logs that hold equal ids hold equal entries up to there (Log Matching, §5.3). */
export interface EntryId {
  readonly index: number;
  readonly term: number;
}

/** What stands before the first entry. */
export const ZERO_ID: EntryId = { index: 0, term: 0 };

/** The numbers are those of `raft.v1.EntryType`. */
export const EntryType = { command: 1, noOp: 2, logId: 3, subscription: 4 } as const;
export type EntryType = (typeof EntryType)[keyof typeof EntryType];

/**
 * A run of entries of one term, the unit in which the log is kept, written and sent: one encoding serves the disk, the
 * followers and the subscribers. Either any number of commands, or exactly one internal entry.
 *
 * Guarantees: 1. indexes are contiguous, `first` to `last`; 2. `ends.length === last - first + 1`; 3. `ends` rises
 * strictly and its last element is `bytes.length`; 4. nobody writes to `bytes` or `ends`.
 */
export interface Frame {
  readonly first: number;
  readonly last: number;
  readonly term: number;
  readonly type: EntryType;
  /** The entries as they stand on the wire. Opaque to the core. */
  readonly bytes: Uint8Array;
  /** Where each entry's encoding ends in `bytes`. */
  readonly ends: Uint32Array;
}

/** With what a proposer marks a command, so that its retry is known: a command of the same mark stands in the log once. */
export interface ProposalId {
  /** 1 to 64 bytes of UTF-8. */
  readonly clientId: string;
  /** From 1. */
  readonly sequence: number;
}

/**
 * Encodes entries that follow each other: `payloads[i]` becomes the entry at `first.index + i`, proposed with `ids[i]`;
 * without `ids` none was proposed with an id. Pure.
 */
export type EncodeFrame = (
  first: EntryId,
  type: EntryType,
  payloads: readonly Uint8Array[],
  ids?: ProposalIds | undefined,
) => Frame;

/** One for each command of a run. */
export type ProposalIds = readonly (ProposalId | undefined)[];

/**
 * Term and vote: what must be on the disk before anybody learns of it (Figure 2, "persistent state").
 * `votedFor` is "" for none.
 */
export interface HardState {
  readonly currentTerm: number;
  readonly votedFor: NodeId;
}

/**
 * The members. `voters` is the configuration in effect; while a joint configuration is in effect `outgoing` holds the
 * voters of the old one, and both majorities are needed (§6). Learners receive the log and count for nothing.
 */
export interface Configuration {
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
}

/** A stretch of the log in one term: its first index. The stretch ends where the next one starts. */
export interface TermStart {
  readonly index: number;
  readonly term: number;
}
