import type { Message } from "../raft/message.ts";
import type { EntryId, NodeId } from "../raft/types.ts";
import type { ProposalBatch, ProposalResult } from "./api.ts";
import type { ArrivedSnapshot } from "./snapshots.ts";

/**
 * The port to the other members. Over gRPC in production; the simulation has one that loses, delays, duplicates and
 * reorders.
 */
export interface Transport {
  /** Sends at most once, in no guaranteed order; may lose the message without a word. */
  send(message: Message): void;

  /**
   * Sends one request to the leader. `done` is called exactly once. A request that may have left this node and has no
   * answer when its stream breaks is `lost`: it may have been appended.
   */
  forward(to: NodeId, request: ForwardRequest, done: (outcome: ForwardOutcome) => void): void;

  /**
   * Brings a member's snapshot here, over as many connections as it takes, while the member has it. `done` is called exactly
   * once.
   */
  fetchSnapshot(from: NodeId, last: EntryId, done: (result: FetchedSnapshot | Error) => void): void;
}

/** A snapshot of another member, whole. Who gets it keeps it, or discards it. */
export interface FetchedSnapshot extends ArrivedSnapshot {
  readonly ownState: Uint8Array;
  discard(): void;
}

/** A batch of proposals, or a read barrier. Refused in any other term than `term`. */
export type ForwardRequest = ForwardedProposals | { readonly kind: "readIndex"; readonly term: number };

export interface ForwardedProposals
  extends Pick<ProposalBatch, "commands" | "conditions" | "stopOnError" | "isSubscription"> {
  readonly kind: "propose";
  readonly term: number;
}

/** `failed` is the leader's own answer, as are the first ones. */
export type ForwardOutcome =
  | ProposalResult
  | { readonly kind: "readIndex"; readonly index: number; readonly term: number }
  /** The request never left this node. */
  | { readonly kind: "notSent" }
  /** The stream broke after the request was handed to it. */
  | { readonly kind: "lost" };

/** What a transport tells its node. */
export interface TransportListener {
  /** A message came in. Returns what is wrong with it, which ends the stream that brought it. */
  onMessage(message: Message): string | undefined;
  /** A member asks this node, as the leader. `done` is called exactly once. */
  onForward(from: NodeId, request: ForwardRequest, done: (outcome: ForwardOutcome) => void): void;
  /** The stream to a member broke: what was sent on it may be lost. */
  onUnreachable(member: NodeId): void;
  /** After that a dial was refused by the member's machine: its process died, most likely. May come several times. */
  onRefused(member: NodeId): void;
  /** The stream to a member is open. */
  onReachable(member: NodeId): void;
}
