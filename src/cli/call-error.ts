import type { Reason } from "../failure.ts";
import { CallFailure } from "../grpc/call-failure.ts";
import { CommandError, EXIT } from "./exit.ts";

/** What a person can do about each refusal. */
const ADVICE: Partial<Record<Reason, string>> = {
  NO_LEADER:
    'No majority of the voters is up, or an election is under way: "raft-sidecar status" shows it. A retry is safe.',
  DRAINING: "This node is shutting down; use another one. A retry is safe.",
  NOT_APPENDED: "The command is not in the log. A retry is safe.",
  OUTCOME_UNKNOWN: 'The command may be in the log: "raft-sidecar log" shows what is. A retry may append it twice.',
  OVERLOADED: "Nothing was appended. Try again in a moment, with less at once.",
  DATA_LOSS: "This node's storage failed, and it ends; use another one. A retry is safe.",
  COMPACTED: "Start at the first retained index.",
  DISK_LOW: "Nothing was appended or stored. Free space on the leader's disk, or for a snapshot on this node's.",
  NO_SNAPSHOT: "An application stores one with PutSnapshot; each node has its own.",
  SNAPSHOT_AHEAD: "Ask the node whose ApplyStream delivered the entry, or wait until this one has it.",
  SNAPSHOT_OUTDATED: "If this was a retry, the first try has stored it.",
  CHECKSUM_MISMATCH: "Nothing was stored. Try again.",
  LOG_EPOCH_MISMATCH: "This is not the log that was read before: check the address.",
};

/** An error of a call in the words of the command line. What is no failed call stays as it is. */
export function callFailed(error: unknown, address: string): unknown {
  if (!(error instanceof CallFailure)) return error;
  const { failure } = error;
  if (failure === undefined) {
    const advice = "The node did not answer for certain: what was asked may have been done.";
    return error.unreachable
      ? new CommandError(EXIT.unreachable, `${address}: ${error.code}: ${error.message}`, advice, error)
      : new CommandError(EXIT.failed, `${address}: ${error.code}: ${error.message}`, advice, error);
  }
  const facts = Object.entries(failure.metadata).map(([key, value]) => `${key}=${value}`);
  const detail = facts.length === 0 ? "" : ` (${facts.join(", ")})`;
  return new CommandError(
    EXIT.failed,
    `${address}: ${failure.reason}: ${failure.message}${detail}`,
    ADVICE[failure.reason],
    error,
  );
}

/** The same on one line, for a list of nodes. */
export function briefly(error: unknown): string {
  if (error instanceof CallFailure) return `${error.failure?.reason ?? error.code}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

/** None of the nodes answered; `failures` has a line for each. */
export function clusterUnreachable(failures: readonly string[]): CommandError {
  return new CommandError(
    EXIT.unreachable,
    ["no node of the cluster can be reached:", ...failures.map((failure) => `  ${failure}`)].join("\n"),
    'Give client addresses with --address, or start a cluster to try things with: "raft-sidecar dev".',
  );
}
