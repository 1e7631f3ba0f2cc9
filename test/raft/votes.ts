import type { Message, RequestVoteResponse } from "../../src/raft/message.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { grant, requestVote } from "../support/core.ts";

/** Whom these messages ask for a vote or pre-vote. */
export function votesAsked(messages: readonly Message[]): NodeId[] {
  return messages.flatMap(({ kind, to }) => (kind === "requestVote" ? [to] : []));
}

/** The vote of `from` for a. */
export function voteOf(from: NodeId, term: number, preVote = false): RequestVoteResponse {
  return grant(requestVote({ from: "a", to: from, term, preVote }));
}
