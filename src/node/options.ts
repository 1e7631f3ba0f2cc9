import type { RaftOptions } from "../raft/raft.ts";
import type { EncodeFrame, NodeId } from "../raft/types.ts";

export interface NodeOptions {
  readonly id: NodeId;
  readonly clusterId: string;
  /** All initial voters, this node included, with where this node dials them. */
  readonly initialMembers: readonly InitialMember[];
  /** Where this node is reached, as it tells the others; host:port. */
  readonly clientAddress: string;
  readonly peerAddress: string;

  readonly tickMs: number;
  readonly electionTimeoutMinMs: number;
  readonly electionTimeoutMaxMs: number;
  readonly heartbeatMs: number;

  /** How long an appended or forwarded proposal, or a read barrier, waits for its answer. */
  readonly proposalTimeoutMs: number;
  /** Proposals without an answer, in number and in bytes of commands. */
  readonly maxProposals: number;
  readonly maxProposalBytes: number;
  /** Read barriers without an answer. */
  readonly maxReads: number;
  /** Entries kept in memory for followers and subscribers that are nearly up to date. */
  readonly cacheBytes: number;
}

export interface InitialMember {
  readonly id: NodeId;
  readonly peerAddress: string;
}

/** Disk turns that may be under way before proposals wait for the next one: what arrives meanwhile shares its sync. */
export const MAX_DISK_TURNS = 2;

/** Commands that one frame takes, in number and in bytes, unless a single batch has more. */
export const MAX_FRAME_COMMANDS = 1024;
export const MAX_FRAME_BYTES = 1024 * 1024;

/** Frames that one disk turn takes. */
export const MAX_FRAMES_PER_TURN = 4;

/** Entries of one AppendEntries request. A peer's receive limit is 8 MiB. */
const MAX_APPEND_BYTES = 1024 * 1024;

/** What one follower may have outstanding. */
const MAX_IN_FLIGHT = 64;
const MAX_IN_FLIGHT_BYTES = 8 * 1024 * 1024;

export function raftOptions(
  options: NodeOptions,
  random: (bound: number) => number,
  encodeFrame: EncodeFrame,
): RaftOptions {
  const ticks = (ms: number): number => Math.max(1, Math.round(ms / options.tickMs));
  return {
    id: options.id,
    configuration: { voters: options.initialMembers.map((member) => member.id), outgoing: [], learners: [] },
    random,
    encodeFrame,
    newLogId: Uint8Array.from({ length: 16 }, () => random(256)),
    electionTimeoutMinTicks: ticks(options.electionTimeoutMinMs),
    electionTimeoutMaxTicks: ticks(options.electionTimeoutMaxMs),
    heartbeatTicks: ticks(options.heartbeatMs),
    maxAppendBytes: MAX_APPEND_BYTES,
    maxInFlight: MAX_IN_FLIGHT,
    maxInFlightBytes: MAX_IN_FLIGHT_BYTES,
    cacheBytes: options.cacheBytes,
  };
}
