import { Failure } from "../failure.ts";
import type { ProposalId } from "../raft/types.ts";
import type { DiskUsage } from "../storage/storage.ts";

/** Before a retry of what was refused because of load. */
const OVERLOAD_RETRY_MS = 100;
/** Before a retry where a new leader is to be expected: about one election. */
const ELECTION_RETRY_MS = 500;
/** Before a retry where somebody has to make room first. */
const DISK_RETRY_MS = 1_000;

export function noLeader(): Failure {
  return new Failure("NO_LEADER", "no leader is known; the command was not appended, a retry is safe", {
    retryAfterMs: ELECTION_RETRY_MS,
  });
}

export function unconfirmed(): Failure {
  return new Failure("NO_LEADER", "no leader confirmed in time that it still leads; a retry is safe", {
    retryAfterMs: ELECTION_RETRY_MS,
  });
}

export function notAppended(): Failure {
  return new Failure("NOT_APPENDED", "the leader changed before the command was appended; a retry is safe", {
    retryAfterMs: ELECTION_RETRY_MS,
  });
}

export function leaderTooSlow(): Failure {
  return new Failure("NOT_APPENDED", "the leader did not get to it in time; nothing was appended, retry later", {
    retryAfterMs: OVERLOAD_RETRY_MS,
  });
}

export function lagging(): Failure {
  return new Failure(
    "NOT_APPENDED",
    "this node lags behind what is committed; nothing was appended, ask another node",
    {
      retryAfterMs: ELECTION_RETRY_MS,
    },
  );
}

export function draining(): Failure {
  return new Failure("DRAINING", "this node shuts down; nothing was appended, ask another node", { retryAfterMs: 0 });
}

export function cannotGoOn(): Failure {
  return new Failure("DATA_LOSS", "this node can't go on; nothing was appended, ask another node", { retryAfterMs: 0 });
}

export function outcomeUnknown(why: string): Failure {
  return new Failure("OUTCOME_UNKNOWN", `${why}; the command may or may not be committed`);
}

export function notLeader(): Failure {
  return new Failure("NOT_LEADER", "this node does not lead; nothing was appended");
}

export function termChanged(expected: number, current: number): Failure {
  return new Failure("TERM_CHANGED", `the term is ${current}, not ${expected}; nothing was appended`, {
    metadata: { expected_term: String(expected), term: String(current) },
  });
}

export function sequenceTooOld(id: ProposalId, above: number): Failure {
  return new Failure(
    "SEQUENCE_TOO_OLD",
    `whether sequence ${id.sequence} of client ${id.clientId} was appended is not known any more, only of those above ` +
      `${above}; nothing was appended now`,
    { metadata: { client_id: id.clientId, sequence: String(id.sequence), known_above: String(above) } },
  );
}

export function stopped(): Failure {
  return new Failure("NOT_APPENDED", "an item before it failed and stop_on_error is set; nothing was appended");
}

export function diskLow({ freeBytes, limitBytes }: Pick<DiskUsage, "freeBytes" | "limitBytes">): Failure {
  const free = `${freeBytes} bytes are free, and ${limitBytes} are kept free`;
  return new Failure("DISK_LOW", `the leader's disk is nearly full: ${free}; nothing was appended`, {
    metadata: { free_bytes: String(freeBytes), limit: String(limitBytes) },
    retryAfterMs: DISK_RETRY_MS,
  });
}

export function overloaded(what: string, limit: number): Failure {
  return new Failure("OVERLOADED", `${what} without an answer reached the limit of ${limit}; retry later`, {
    metadata: { limit: String(limit) },
    retryAfterMs: OVERLOAD_RETRY_MS,
  });
}

export function noSnapshot(): Failure {
  return new Failure("NO_SNAPSHOT", "this node has no snapshot; without one its log is never cut off");
}

export function noSubscriber(name: string): Failure {
  return new Failure("NO_SUBSCRIBER", `no durable subscriber is called "${name}"; a stream with from_cursor makes one`);
}

export function subscriberReplaced(name: string): Failure {
  return new Failure("SUBSCRIBER_REPLACED", `a newer stream of "${name}" took this one's place, or it was removed`);
}

export function cursorAhead(cursor: number, committed: number): Failure {
  const metadata = { commit_index: String(committed) };
  return new Failure("CURSOR_AHEAD", `nothing at ${cursor} is committed; the log is so to ${committed}`, { metadata });
}
