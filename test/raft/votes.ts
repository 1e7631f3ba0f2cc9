import type { Message } from "../../src/raft/message.ts";
import type { NodeId } from "../../src/raft/types.ts";

/** Whom these messages ask for a vote or pre-vote. */
export function votesAsked(messages: readonly Message[]): NodeId[] {
  return messages.flatMap(({ kind, to }) => (kind === "requestVote" ? [to] : []));
}
