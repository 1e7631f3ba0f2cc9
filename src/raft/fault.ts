import { unreachable } from "../assert.ts";
import type { AppendEntries, AppendEntriesResponse, Message, RequestVote, RequestVoteResponse } from "./message.ts";
import { type EntryId, MAX_INDEX, MAX_TERM, MAX_TERM_LEAP } from "./types.ts";

/**
 * What is wrong with a message in itself, whatever the receiver's state; undefined when nothing is. A message with a
 * fault comes from no correct member, and the core must not see it.
 */
export function faultOf(message: Message): string | undefined {
  if (!isTerm(message.term) || message.term < 1) return `term ${message.term} is out of range`;
  switch (message.kind) {
    case "requestVote":
      return faultOfRequestVote(message);
    case "requestVoteResponse":
      return faultOfRequestVoteResponse(message);
    case "appendEntries":
      return faultOfAppendEntries(message);
    case "appendEntriesResponse":
      return faultOfAppendEntriesResponse(message);
    default:
      return unreachable(message);
  }
}

/**
 * A term is final for a whole cluster: nobody ever goes back. One that no number of elections explains is refused, as it
 * would leave too few for the elections to come. Undefined when the term is none.
 */
export function leapOf(message: Message, currentTerm: number): string | undefined {
  if (message.term - currentTerm <= MAX_TERM_LEAP) return undefined;
  return `term ${message.term} is out of reach from term ${currentTerm}`;
}

function faultOfRequestVote(message: RequestVote): string | undefined {
  if (!isId(message.lastLog)) return "last_log_index and last_log_term are no entry's";
  if (message.lastLog.term > message.term) return `last_log_term ${message.lastLog.term} is above the term`;
  return undefined;
}

function faultOfRequestVoteResponse(message: RequestVoteResponse): string | undefined {
  if (message.granted && message.term !== message.electionTerm) return "a vote was granted in another term";
  return undefined;
}

function faultOfAppendEntries(message: AppendEntries): string | undefined {
  if (!isId(message.prev)) return "prev_log_index and prev_log_term are no entry's";
  if (!isIndex(message.leaderCommit)) return `leader_commit ${message.leaderCommit} is out of range`;
  if (!isSequence(message.sequence)) return `sequence ${message.sequence} is out of range`;
  let last: EntryId = message.prev;
  for (const frame of message.frames) {
    if (frame.first !== last.index + 1) return `entry ${frame.first} follows entry ${last.index}`;
    if (frame.term < last.term) return `the term falls from ${last.term} to ${frame.term} at entry ${frame.first}`;
    last = { index: frame.last, term: frame.term };
  }
  if (message.offer !== undefined && faultOfSnapshot(message.offer.last, message.term))
    return "the offer is no entry's";
  if (last.term > message.term) return `the term ${last.term} of entry ${last.index} is above the leader's`;
  if (last.index > MAX_INDEX) return `index ${last.index} is out of range`;
  return undefined;
}

function faultOfAppendEntriesResponse(message: AppendEntriesResponse): string | undefined {
  if (!isIndex(message.match)) return `match_index ${message.match} is out of range`;
  // Only the rejection of an earlier term's request has no sequence.
  const hasSequence = message.success || message.sequence !== 0;
  if (hasSequence && !isSequence(message.sequence)) return `sequence ${message.sequence} is out of range`;
  if (message.conflict !== undefined && !isId(message.conflict)) return "the conflict hint is no entry's";
  if (message.snapshot !== undefined && faultOfSnapshot(message.snapshot, message.term))
    return "snapshot is no entry's";
  return undefined;
}

/** It covers an entry at least, of a term that has been. */
function faultOfSnapshot(last: EntryId, term: number): boolean {
  return !isId(last) || last.index === 0 || last.term > term;
}

function isTerm(term: number): boolean {
  return Number.isInteger(term) && term >= 0 && term <= MAX_TERM;
}

function isIndex(index: number): boolean {
  return Number.isInteger(index) && index >= 0 && index <= MAX_INDEX;
}

function isSequence(sequence: number): boolean {
  return Number.isSafeInteger(sequence) && sequence >= 1;
}

/** Either both are zero or neither is. */
function isId(id: EntryId): boolean {
  return isIndex(id.index) && isTerm(id.term) && (id.index === 0) === (id.term === 0);
}
