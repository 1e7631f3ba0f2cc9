import type { Failure } from "../failure.ts";
import type { NodeId } from "../raft/types.ts";

/** The versions of the peer protocol that this build speaks. 1 knew no ids of proposals, 2 no snapshots of other members. */
export const PROTOCOL_MIN = 3;
export const PROTOCOL_MAX = 3;

/** What each end of a connection between members says of itself before anything else; `raft.v1.Handshake`. */
export interface Handshake {
  readonly clusterId: string;
  /** Empty until known. */
  readonly logId: Uint8Array;
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly sender: NodeId;
  readonly addressee: NodeId;
  readonly incarnation: Uint8Array;
  readonly clientAddress: string;
  readonly peerAddress: string;
  readonly bootstrapDigest: Uint8Array;
}

/** Judges the other side's handshakes, and says this node's own. */
export interface Handshaker {
  /** What this node says to `addressee`. */
  introduce(addressee: NodeId): Handshake;
  /**
   * Judges what another node said. Calls `done` with why it is refused, or with undefined once the sender's incarnation
   * is on this node's disk. `dialed` is the member that this node meant to reach, when it was the one to dial.
   */
  check(handshake: Handshake, dialed: NodeId | undefined, done: (refusal: Failure | undefined) => void): void;
  /**
   * The member that was dialed accepted this node's handshake and was accepted: both have the other's incarnation on
   * disk.
   */
  onMet(member: NodeId): void;
  /** The member that was dialed refused this node. */
  onRefusedBy(member: NodeId, refusal: Failure): void;
}
