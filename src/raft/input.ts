import type { Message } from "./message.ts";
import type { EntryId, EntryType, Frame, NodeId, ProposalIds } from "./types.ts";

/** Everything that can happen to the core. */
export type Input =
  /** One tick of the clock has passed. */
  | { readonly kind: "tick" }
  /** A message came in. It has passed `faultOf`. */
  | { readonly kind: "message"; readonly message: Message }
  /** Append these next to each other: commands, or one payload of another type. Answered in the next Ready's `proposals`. */
  | {
      readonly kind: "propose";
      /** A command when not given. */
      readonly type?: EntryType | undefined;
      readonly commands: readonly Uint8Array[];
      readonly ids?: ProposalIds | undefined;
    }
  /** A read barrier. Answered in some later Ready's `reads` under the same id. */
  | { readonly kind: "readIndex"; readonly id: number }
  /** The disk holds the write of this turn, and those of all turns before it. */
  | { readonly kind: "persisted"; readonly turn: number }
  /** The answer to a Ready's fetch. */
  | { readonly kind: "fetched"; readonly fetch: Fetch; readonly frames: readonly Frame[] }
  /** This node holds a snapshot of everything to `last`, durably, which is committed and durable here as well. */
  | { readonly kind: "snapshot"; readonly last: EntryId }
  /** Forget the log up to `index`: a snapshot covers it. */
  | { readonly kind: "compact"; readonly index: number }
  /** Another member's snapshot of everything to `last` has come: go on from there. */
  | { readonly kind: "install"; readonly last: EntryId }
  /** What was sent to this member lately may be lost. */
  | { readonly kind: "unreachable"; readonly member: NodeId }
  /** The connection to this member broke, and its machine refuses another: a hint that its process died. */
  | { readonly kind: "refused"; readonly member: NodeId }
  /** A connection to this member is open again. */
  | { readonly kind: "reachable"; readonly member: NodeId };

/**
 * Entries that a follower needs and that are no longer in memory: from index `first`, as many as fit in `maxBytes`. They
 * are durable. After a restart some may not be committed: should this node be deposed, they may be truncated while they
 * are read, and what then comes of the read is ignored.
 */
export interface Fetch {
  readonly member: NodeId;
  readonly term: number;
  readonly first: number;
  readonly last: number;
  readonly maxBytes: number;
}
