import type { Failure } from "../failure.ts";
import type { EntryId, Frame, NodeId, ProposalId } from "../raft/types.ts";
import type { DiskUsage } from "../storage/storage.ts";
import type { RetentionStatus } from "./retention.ts";
import type { Snapshots } from "./snapshots.ts";
import type { Subscriptions } from "./subscriptions.ts";

/** What the services need of a node. `Node` implements it. */
export interface NodeApi {
  /** Proposes commands. Those that are appended stand next to each other, in this order. `done` is called once. */
  propose(batch: ProposalBatch): void;

  /** A linearizable barrier. `done` is called once. `deadlineMs` as in `ProposalBatch`. */
  readIndex(deadlineMs: number | undefined, done: (result: ReadIndexResult) => void): void;

  state(): NodeState;

  status(): NodeStatus;

  members(): MemberStatus[];

  /** The present state event, and every later one until the returned function is called. */
  watch(listener: (event: StateEvent) => void): () => void;

  /**
   * Reads entries of the log from `first` to at most `last`, committed or not, as many as fit in `maxBytes` but at least
   * one; only what is durable on this node, so none past that. Beyond what is committed, none also where the log is
   * truncated meanwhile. Calls back with a Failure COMPACTED when `first` is below the first retained index.
   */
  readLog(first: number, last: number, maxBytes: number, done: (result: readonly Frame[] | Failure) => void): void;

  /** Term of the entry at `index`; undefined when the log does not hold it. */
  termAt(index: number): number | undefined;

  /** 16 bytes; empty until the log's first entry is committed and durable here. */
  readonly logId: Uint8Array;

  /** The durable subscribers. */
  readonly subscriptions: Subscriptions;

  /** The snapshots that this node has. */
  readonly snapshots: Snapshots;

  /**
   * Cuts off this node's log up to what others need of it, keeping `keepEntries` before the newest snapshot; the usual number when
   * not given. Returns the index of the first entry then. Throws a Failure without a snapshot.
   */
  compact(keepEntries: number | undefined): number;

  /** Calls `listener` whenever `state().applied` rises, or a drain begins. Returns how to stop. */
  onApplied(listener: () => void): () => void;

  /** True once the node shuts down: nothing new is accepted. */
  readonly draining: boolean;
}

export interface ProposalBatch {
  /** At least one. The node keeps views of them: they must not change. */
  readonly commands: readonly Uint8Array[];
  /** One for each command; undefined when none has any. */
  readonly conditions?: readonly Conditions[] | undefined;
  /** Whether a command that is refused keeps those after it from being appended. */
  readonly stopOnError?: boolean | undefined;
  /** It is no command, but what a durable subscriber does: the batch has just this one. */
  readonly isSubscription?: boolean | undefined;
  /** When the caller stops waiting, on the node's clock (`clock.nowMs()`); undefined for never. */
  readonly deadlineMs: number | undefined;
  /**
   * Whether batches that the same caller proposes later must not commit before this one. Such a batch isn't sent a
   * second time when a leader refuses it.
   */
  readonly ordered: boolean;
  readonly done: (result: ProposalResult) => void;
}

/** With what a command is proposed. */
export interface Conditions {
  /** The command isn't appended a second time. */
  readonly id: ProposalId | undefined;
  /** The command is appended in this term only; 0 for any. */
  readonly expectedTerm: number;
}

export const NO_CONDITIONS: Conditions = { id: undefined, expectedTerm: 0 };

export type ProposalResult =
  /** All were appended and are committed: `first` is where the batch's first command is; the others follow it. */
  | { readonly kind: "committed"; readonly first: EntryId }
  /** One outcome for each command. */
  | { readonly kind: "each"; readonly outcomes: readonly CommandOutcome[] }
  /** All have failed. */
  | { readonly kind: "failed"; readonly failure: Failure };

/** `duplicate`: another proposal with the same id is what stands in the log. */
export type CommandOutcome = (EntryId & { readonly duplicate: boolean }) | Failure;

export type ReadIndexResult =
  | { readonly kind: "readIndex"; readonly index: number; readonly term: number }
  | { readonly kind: "failed"; readonly failure: Failure };

export type RoleName = "follower" | "preCandidate" | "candidate" | "leader";

export interface NodeState {
  readonly id: NodeId;
  readonly term: number;
  readonly role: RoleName;
  /** "" when not known. */
  readonly leader: NodeId;
  /** "" when not known. */
  readonly leaderAddress: string;
  /** First retained index. */
  readonly first: number;
  readonly commit: number;
  /** Committed and durable on this node: what ApplyStream may deliver. */
  readonly applied: number;
  readonly last: number;
}

export interface NodeStatus {
  readonly clusterId: string;
  readonly durable: number;
  /** "" when the node takes part and serves, else why not, for people. */
  readonly notReadyReason: string;
  readonly proposalsInFlight: number;
  /** On the leader, for each other member. */
  readonly peers: readonly PeerStatus[];
  /** Undefined until it was measured. */
  readonly disk: DiskStatus | undefined;
  /** Of the durable subscribers. */
  readonly retention: RetentionStatus;
}

export interface DiskStatus extends DiskUsage {
  /** Whether it is so full that the node appends nothing new while it leads. */
  readonly low: boolean;
}

export interface PeerStatus {
  readonly id: NodeId;
  readonly match: number;
  readonly next: number;
  readonly state: "probe" | "replicate" | "snapshot";
  readonly inFlight: number;
}

export interface MemberStatus {
  readonly id: NodeId;
  readonly peerAddress: string;
  /** "" until heard from. */
  readonly clientAddress: string;
  /** Empty until heard from. */
  readonly incarnation: Uint8Array;
}

export interface StateEvent {
  /** Rises by one with each event since the process was started. */
  readonly number: number;
  readonly role: RoleName;
  readonly term: number;
  readonly leader: NodeId;
  readonly leaderAddress: string;
  /** With role "leader": index of the term's no-op. 0 otherwise. */
  readonly leaderIndex: number;
}
