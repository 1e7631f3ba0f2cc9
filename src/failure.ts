/**
 * Why a call was refused or failed. Stable: clients switch on these. What each means for a retry stands in the README;
 * the gRPC status code of each stands in `grpc/status.ts`.
 */
export type Reason =
  | "NO_LEADER"
  | "DRAINING"
  | "NOT_APPENDED"
  | "OUTCOME_UNKNOWN"
  | "TERM_CHANGED"
  | "SEQUENCE_TOO_OLD"
  | "NOT_LEADER"
  | "OVERLOADED"
  | "COMPACTED"
  | "DISK_LOW"
  | "NO_SNAPSHOT"
  | "SNAPSHOT_AHEAD"
  | "SNAPSHOT_OUTDATED"
  | "CHECKSUM_MISMATCH"
  | "NO_SUBSCRIBER"
  | "SUBSCRIBER_REPLACED"
  | "CURSOR_AHEAD"
  | "LOG_EPOCH_MISMATCH"
  | "CLUSTER_MISMATCH"
  | "UNKNOWN_PEER"
  | "INCARNATION_MISMATCH"
  | "PROTOCOL_MISMATCH"
  | "INVALID_ARGUMENT"
  | "DATA_LOSS";

/** One field of a request that is wrong: its path as in the proto, and what would be right. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

export interface FailureDetail {
  /** Facts for programs, such as the limit that was passed. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** How long to wait before a retry, where one helps. */
  readonly retryAfterMs?: number;
  /** With INVALID_ARGUMENT. */
  readonly violations?: readonly FieldViolation[];
  readonly cause?: unknown;
}

/** An expected, operational failure, told to the caller. A broken invariant is an `InvariantError` instead. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly reason: Reason;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly violations: readonly FieldViolation[];

  constructor(reason: Reason, message: string, detail: FailureDetail = {}) {
    super(message, { cause: detail.cause });
    this.reason = reason;
    this.metadata = detail.metadata ?? {};
    this.retryAfterMs = detail.retryAfterMs;
    this.violations = detail.violations ?? [];
  }
}
