import type { Fetch } from "./input.ts";
import type { Message } from "./message.ts";
import type { EntryId, Frame, HardState } from "./types.ts";

/**
 * What the node owes the core after a turn: start `write`, send `messages` (they wait for nothing any more: the core
 * holds back what the disk must know first), deliver up to the core's `lastApplied`, answer `proposals` and `reads`, and
 * get `fetches`. The core never assumes that a write succeeded; it waits for `persisted`.
 */
export interface Ready {
  readonly write: TurnWrite | undefined;
  readonly messages: readonly Message[];
  /** One for each `propose` input since the last Ready, in their order. */
  readonly proposals: readonly ProposalOutcome[];
  readonly reads: readonly ReadOutcome[];
  readonly fetches: readonly Fetch[];
}

/** One disk turn, written in one transaction. Turns are numbered from 1 and must be written in order. */
export interface TurnWrite {
  readonly turn: number;
  readonly hardState: HardState | undefined;
  /** The log is replaced by an empty one whose next entry follows this one: what `install` was given. */
  readonly reset: EntryId | undefined;
  readonly truncateFrom: number | undefined;
  readonly frames: readonly Frame[];
}

export type ProposalOutcome =
  /** `first` is the first command's place; the others follow it. Not yet committed. */
  { readonly kind: "appended"; readonly first: EntryId } | { readonly kind: "notLeader" };

export type ReadOutcome =
  | { readonly kind: "readIndex"; readonly id: number; readonly index: number; readonly term: number }
  | { readonly kind: "notLeader"; readonly id: number };
