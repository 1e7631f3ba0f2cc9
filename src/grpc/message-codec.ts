import { create } from "@bufbuild/protobuf";
import {
  type Handshake,
  type RequestVoteRequest as RequestVoteRequestProto,
  RequestVoteRequestSchema,
  type RequestVoteResponse as RequestVoteResponseProto,
  RequestVoteResponseSchema,
} from "../../gen/raft/v1/raft_pb.js";
import type {
  AppendEntries,
  AppendEntriesResponse,
  RequestVote,
  RequestVoteResponse,
  SnapshotOffer,
} from "../raft/message.ts";
import { type EntryId, type NodeId, ZERO_ID } from "../raft/types.ts";
import type { AppendAnswer, AppendFields, AppendRequest } from "./append-codec.ts";
import { indexFromWire, invalidArgument, termFromWire, toWire, type Uint64 } from "./uint64.ts";

/**
 * The core's messages as the peers' protobuf messages. What is read from the wire is checked for ranges and for its
 * sender; a violation throws INVALID_ARGUMENT. Whether a message makes sense in this node's state is the node's to say.
 */

export function toRequestVote(message: RequestVote, handshake: Handshake): RequestVoteRequestProto {
  return create(RequestVoteRequestSchema, {
    handshake,
    term: toWire(message.term),
    candidateId: message.from,
    lastLogIndex: toWire(message.lastLog.index),
    lastLogTerm: toWire(message.lastLog.term),
    preVote: message.preVote,
  });
}

export function fromRequestVote(proto: RequestVoteRequestProto, sender: NodeId, self: NodeId): RequestVote {
  if (proto.candidateId !== sender) throw notTheSender("candidate_id", proto.candidateId, sender);
  return {
    kind: "requestVote",
    from: sender,
    to: self,
    term: electedTerm(proto.term),
    lastLog: entryId(proto.lastLogIndex, "last_log_index", proto.lastLogTerm, "last_log_term"),
    preVote: proto.preVote,
  };
}

export function toRequestVoteResponse(message: RequestVoteResponse, handshake: Handshake): RequestVoteResponseProto {
  return create(RequestVoteResponseSchema, { handshake, term: toWire(message.term), voteGranted: message.granted });
}

/** The answer to `request`: the wire's answer doesn't repeat which election it belongs to. */
export function fromRequestVoteResponse(proto: RequestVoteResponseProto, request: RequestVote): RequestVoteResponse {
  return {
    kind: "requestVoteResponse",
    from: request.to,
    to: request.from,
    term: termFromWire(proto.term, "term"),
    granted: proto.voteGranted,
    preVote: request.preVote,
    electionTerm: request.term,
  };
}

export function toAppendEntries(message: AppendEntries): AppendRequest {
  const { term, from, prev, leaderCommit, sequence, frames, offer } = message;
  const { index: snapshotIndex, term: snapshotTerm } = offer?.last ?? ZERO_ID;
  const fields = { term, leaderId: from, prevLogIndex: prev.index, prevLogTerm: prev.term, leaderCommit, sequence };
  return { fields: { ...fields, snapshotIndex, snapshotTerm, needSnapshot: offer?.isNeeded ?? false }, frames };
}

export function fromAppendEntries({ fields, frames }: AppendRequest, sender: NodeId, self: NodeId): AppendEntries {
  if (fields.leaderId !== sender) throw notTheSender("leader_id", fields.leaderId, sender);
  return {
    kind: "appendEntries",
    from: sender,
    to: self,
    term: electedTerm(fields.term),
    prev: entryId(fields.prevLogIndex, "prev_log_index", fields.prevLogTerm, "prev_log_term"),
    frames,
    leaderCommit: indexFromWire(fields.leaderCommit, "leader_commit"),
    sequence: indexFromWire(fields.sequence, "sequence"),
    offer: offerFrom(fields),
  };
}

/** Undefined for none. */
function offerFrom({ snapshotIndex, snapshotTerm, needSnapshot }: AppendFields): SnapshotOffer | undefined {
  const last = snapshotFrom({ snapshotIndex, snapshotTerm });
  return last === undefined ? undefined : { last, isNeeded: needSnapshot };
}

function snapshotFrom(fields: Pick<AppendAnswer, "snapshotIndex" | "snapshotTerm">): EntryId | undefined {
  const last = entryId(fields.snapshotIndex, "snapshot_index", fields.snapshotTerm, "snapshot_term");
  return last.index === 0 ? undefined : last;
}

export function toAppendEntriesResponse(message: AppendEntriesResponse): AppendAnswer {
  const { term, success, match, conflict, sequence, snapshot } = message;
  const { index: conflictIndex, term: conflictTerm } = conflict ?? ZERO_ID;
  const { index: snapshotIndex, term: snapshotTerm } = snapshot ?? ZERO_ID;
  return { term, success, matchIndex: match, conflictIndex, conflictTerm, sequence, snapshotIndex, snapshotTerm };
}

export function fromAppendEntriesResponse(proto: AppendAnswer, sender: NodeId, self: NodeId): AppendEntriesResponse {
  return {
    kind: "appendEntriesResponse",
    from: sender,
    to: self,
    term: termFromWire(proto.term, "term"),
    success: proto.success,
    match: indexFromWire(proto.matchIndex, "match_index"),
    // Without a sequence it rejects an earlier term's request as a whole, and hints at nothing.
    conflict:
      proto.success || Number(proto.sequence) === 0
        ? undefined
        : entryId(proto.conflictIndex, "conflict_index", proto.conflictTerm, "conflict_term"),
    sequence: indexFromWire(proto.sequence, "sequence"),
    snapshot: snapshotFrom(proto),
  };
}

function entryId(index: Uint64, indexField: string, term: Uint64, termField: string): EntryId {
  return { index: indexFromWire(index, indexField), term: termFromWire(term, termField) };
}

/** The term of an election or of a leader: no node has either in term 0. */
function electedTerm(term: Uint64): number {
  const number = termFromWire(term, "term");
  if (number === 0) throw invalidArgument("term", "must be at least 1");
  return number;
}

function notTheSender(field: string, value: string, sender: NodeId): Error {
  return invalidArgument(field, `must be the sender of the handshake, "${sender}", is "${value}"`);
}
