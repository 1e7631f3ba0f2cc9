import type {
  GetStatusResponse,
  Member,
  Retention,
  SnapshotPull,
  Subscriber,
  VerifiedLog,
} from "../../gen/raft/v1/cluster_pb.js";
import { EntryType, type Entry as ProtoEntry, Role } from "../../gen/raft/v1/log_pb.js";
import { assert } from "../assert.ts";
import type { DiskStatus } from "../node/api.ts";
import type { ProposalId } from "../raft/types.ts";
import { fromDiskUsage } from "./disk-codec.ts";
import { indexFromWire, sequenceFromWire, termFromWire } from "./uint64.ts";

/** What one node says of itself. Terms and indexes as in the protos, as numbers. */
export interface NodeView {
  readonly id: string;
  readonly role: string;
  readonly term: number;
  /** "" when not known. */
  readonly leader: string;
  /** The first index that it retains. */
  readonly first: number;
  readonly commit: number;
  readonly applied: number;
  readonly last: number;
  /** The last entry that its newest snapshot covers; 0 for none. */
  readonly snapshot: number;
  /** The snapshot of another member that it is pulling; undefined for none. */
  readonly pull: PullView | undefined;
  readonly ready: boolean;
  readonly notReadyReason: string;
  /** Undefined when the node doesn't say. */
  readonly disk: DiskStatus | undefined;
  /** The slowest durable subscriber; undefined when there is none. */
  readonly retention: RetentionView | undefined;
}

/** How far the slowest durable subscriber is behind, and whether the log keeps too much for it. */
export interface RetentionView {
  readonly policy: string;
  readonly subscriber: string;
  readonly lag: number;
  readonly level: string;
}

/** How far a snapshot has come, in bytes; of 0 until that is known. */
export interface PullView {
  readonly from: string;
  readonly index: number;
  readonly received: number;
  readonly total: number;
}

export interface MemberView {
  readonly id: string;
  readonly role: string;
  readonly peerAddress: string;
  /** "" until the node that was asked has heard from it. */
  readonly clientAddress: string;
  readonly connected: boolean;
  readonly error: string;
}

/** A durable subscriber, as far as the node that was asked has applied the log. */
export interface SubscriberView {
  readonly name: string;
  readonly cursor: number;
  /** In entries. */
  readonly lag: number;
}

/** What a node has read of its own log, and found as it should be. */
export interface VerifiedView {
  readonly first: number;
  readonly last: number;
  /** Over the entries, in hexadecimal. */
  readonly sha256: string;
  /** The last entry that the snapshot covers which was read; 0 for none. */
  readonly snapshot: number;
}

export interface EntryView {
  readonly index: number;
  readonly term: number;
  readonly type: string;
  readonly command: Uint8Array;
  /** Undefined when it was proposed without one. */
  readonly id: ProposalId | undefined;
}

export function nodeView(response: GetStatusResponse): NodeView {
  const { state, ready, notReadyReason, disk, retention, snapshot, snapshotPull } = response;
  assert(state !== undefined, "GetStatus answers with a state");
  return {
    ready,
    notReadyReason,
    disk: disk === undefined ? undefined : fromDiskUsage(disk),
    retention: retention === undefined ? undefined : retentionView(retention),
    snapshot: snapshot === undefined ? 0 : indexFromWire(snapshot.index, "snapshot.index"),
    pull: snapshotPull === undefined ? undefined : pullView(snapshotPull),
    id: state.id,
    role: ROLE_NAMES[state.role] ?? "unknown",
    term: termFromWire(state.term, "term"),
    leader: state.leaderId,
    first: indexFromWire(state.firstIndex, "firstIndex"),
    commit: indexFromWire(state.commitIndex, "commitIndex"),
    applied: indexFromWire(state.appliedIndex, "appliedIndex"),
    last: indexFromWire(state.lastIndex, "lastIndex"),
  };
}

function retentionView({ policy, slowestSubscriber, lagEntries, level }: Retention): RetentionView {
  return { policy, subscriber: slowestSubscriber, lag: indexFromWire(lagEntries, "lagEntries"), level };
}

function pullView({ memberId, index, receivedBytes, totalBytes }: SnapshotPull): PullView {
  return {
    from: memberId,
    index: indexFromWire(index, "index"),
    received: indexFromWire(receivedBytes, "receivedBytes"),
    total: indexFromWire(totalBytes, "totalBytes"),
  };
}

export function memberView(member: Member): MemberView {
  const { id, peerAddress, clientAddress, connected, error } = member;
  return { id, role: "voter", peerAddress, clientAddress, connected, error };
}

export function verifiedView({ firstIndex, lastIndex, sha256, snapshot }: VerifiedLog): VerifiedView {
  return {
    first: indexFromWire(firstIndex, "firstIndex"),
    last: indexFromWire(lastIndex, "lastIndex"),
    sha256: Buffer.from(sha256).toString("hex"),
    snapshot: snapshot === undefined ? 0 : indexFromWire(snapshot.index, "snapshot.index"),
  };
}

export function subscriberView({ name, cursor, lagEntries }: Subscriber): SubscriberView {
  return { name, cursor: indexFromWire(cursor, "cursor"), lag: indexFromWire(lagEntries, "lagEntries") };
}

export function entryView(entry: ProtoEntry): EntryView {
  const { index, term, type, command, clientId, sequence } = entry;
  return {
    index: indexFromWire(index, "index"),
    term: termFromWire(term, "term"),
    type: ENTRY_TYPE_NAMES[type] ?? `type ${type}`,
    command,
    id: clientId === "" ? undefined : { clientId, sequence: sequenceFromWire(sequence, "sequence") },
  };
}

const ROLE_NAMES: Readonly<Record<number, string>> = {
  [Role.FOLLOWER]: "follower",
  [Role.PRE_CANDIDATE]: "preCandidate",
  [Role.CANDIDATE]: "candidate",
  [Role.LEADER]: "leader",
};

const ENTRY_TYPE_NAMES: Readonly<Record<number, string>> = {
  [EntryType.COMMAND]: "command",
  [EntryType.NO_OP]: "noOp",
  [EntryType.LOG_ID]: "logId",
  [EntryType.SUBSCRIPTION]: "subscription",
};
