import type { Failure } from "../failure.ts";
import type { Frame, NodeId } from "../raft/types.ts";

/** The port to the log that subscribers read. A node is one. */
export interface CommittedLog {
  /** Empty until the log's first entry is committed and durable here. */
  readonly logId: Uint8Array;
  /** True once the node shuts down. */
  readonly draining: boolean;
  /** Whether the application shall put a snapshot, so that the log can be cut off. */
  readonly snapshots: { readonly isWanted: boolean };
  state(): CommittedState;
  /** Undefined when the log does not hold the entry. */
  termAt(index: number): number | undefined;
  /**
   * Reads entries from `first` to at most `last`, as many as fit in `maxBytes` but at least one. Fails with COMPACTED
   * below the first retained index.
   */
  readLog(first: number, last: number, maxBytes: number, done: (result: readonly Frame[] | Failure) => void): void;
  /** Calls `listener` whenever `applied` rises or a drain begins. Returns how to stop. */
  onApplied(listener: () => void): () => void;
}

export interface CommittedState {
  readonly term: number;
  /** "" when not known. */
  readonly leader: NodeId;
  /** First retained index. */
  readonly first: number;
  /** What may be delivered: committed, and durable on this node. */
  readonly applied: number;
}
