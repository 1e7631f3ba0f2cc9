import type { RaftOptions } from "../raft/raft.ts";
import type { EncodeFrame, NodeId } from "../raft/types.ts";
import { SESSION_LIMITS, type SessionLimits } from "../session/session-table.ts";
import type { RetentionPolicy } from "./retention.ts";

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

  /** After so many entries, or bytes of the log, the application is asked for another snapshot. */
  readonly snapshotEntries: number;
  readonly snapshotBytes: number;
  /** What the log keeps for durable subscribers, and what happens once one needs more. */
  readonly retainEntries: number;
  readonly retainBytes: number;
  readonly retentionPolicy: RetentionPolicy;
  /** Entries before the newest snapshot that are kept for members that lag. */
  readonly catchUpEntries: number;
  /** Fewer are not worth a write, unless it is all that there is to cut off. */
  readonly minCompactedEntries: number;

  /** Entries of one AppendEntries request, in bytes, unless a single one is larger. A peer's receive limit is 8 MiB. */
  readonly maxAppendBytes: number;
  /** Requests with entries, and their bytes, that one follower may have outstanding. */
  readonly maxInFlight: number;
  readonly maxInFlightBytes: number;

  /** What is remembered of proposals with an id; equal on all nodes. */
  readonly sessionLimits: SessionLimits;
  /** After so many entries the session table is written to the disk, so that a start need not read more than these. */
  readonly sessionCheckpointEntries: number;
  /** Or after so many bytes of the log, and sixteen times the last checkpoint's own. */
  readonly sessionCheckpointBytes: number;
  /** Entries of the table that one turn encodes for a checkpoint. */
  readonly sessionEncodeEntries: number;
}

/** What no user has asked to set yet. */
export const PIPELINE: Pick<
  NodeOptions,
  | "maxAppendBytes"
  | "maxInFlight"
  | "maxInFlightBytes"
  | "sessionLimits"
  | "sessionCheckpointEntries"
  | "sessionCheckpointBytes"
  | "sessionEncodeEntries"
  | "minCompactedEntries"
> = {
  maxAppendBytes: 1024 * 1024,
  maxInFlight: 64,
  maxInFlightBytes: 8 * 1024 * 1024,
  sessionLimits: SESSION_LIMITS,
  sessionCheckpointEntries: 131_072,
  sessionCheckpointBytes: 64 * 1024 * 1024,
  sessionEncodeEntries: 8_192,
  minCompactedEntries: 1_000,
};

export interface InitialMember {
  readonly id: NodeId;
  readonly peerAddress: string;
}

/** Disk turns that may be under way: what arrives meanwhile waits for the next one, and shares its sync. */
export const MAX_DISK_TURNS = 2;

/** Commands that one frame takes, in number and in bytes, unless a single batch has more. */
export const MAX_FRAME_COMMANDS = 1024;
export const MAX_FRAME_BYTES = 1024 * 1024;

/** Frames that one disk turn takes. */
export const MAX_FRAMES_PER_TURN = 4;

/** After a pause a node first listens for a while before it concludes that everybody else is silent. */
export function maxCatchUpTicks({ electionTimeoutMinTicks }: RaftOptions): number {
  return Math.max(1, Math.floor(electionTimeoutMinTicks / 4));
}

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
    maxAppendBytes: options.maxAppendBytes,
    maxInFlight: options.maxInFlight,
    maxInFlightBytes: options.maxInFlightBytes,
    cacheBytes: options.cacheBytes,
  };
}
