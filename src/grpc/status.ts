import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack, anyUnpack, durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import { InvariantError } from "../assert.ts";
import { Failure, type FailureDetail, type Reason } from "../failure.ts";
import type { Log } from "./log.ts";

/** The domain of every ErrorInfo of ours. Only a status that carries it is definite. */
const ERROR_DOMAIN = "raft-sidecar";

const DETAILS_TRAILER = "grpc-status-details-bin";

/** What a message repeats of a request may be long; trailers must not be. */
const MAX_MESSAGE_LENGTH = 1_024;

/** Trailers have a size limit in most clients; more violations than these help nobody. */
const MAX_VIOLATIONS = 16;

const CODES: Readonly<Record<Reason, status>> = {
  NO_LEADER: status.UNAVAILABLE,
  DRAINING: status.UNAVAILABLE,
  NOT_APPENDED: status.UNAVAILABLE,
  OUTCOME_UNKNOWN: status.ABORTED,
  TERM_CHANGED: status.FAILED_PRECONDITION,
  SEQUENCE_TOO_OLD: status.OUT_OF_RANGE,
  NOT_LEADER: status.FAILED_PRECONDITION,
  OVERLOADED: status.RESOURCE_EXHAUSTED,
  COMPACTED: status.OUT_OF_RANGE,
  DISK_LOW: status.RESOURCE_EXHAUSTED,
  NO_SNAPSHOT: status.NOT_FOUND,
  SNAPSHOT_AHEAD: status.FAILED_PRECONDITION,
  SNAPSHOT_OUTDATED: status.FAILED_PRECONDITION,
  CHECKSUM_MISMATCH: status.INVALID_ARGUMENT,
  NO_SUBSCRIBER: status.NOT_FOUND,
  SUBSCRIBER_REPLACED: status.ABORTED,
  CURSOR_AHEAD: status.OUT_OF_RANGE,
  LOG_EPOCH_MISMATCH: status.FAILED_PRECONDITION,
  CLUSTER_MISMATCH: status.PERMISSION_DENIED,
  UNKNOWN_PEER: status.PERMISSION_DENIED,
  INCARNATION_MISMATCH: status.PERMISSION_DENIED,
  PROTOCOL_MISMATCH: status.FAILED_PRECONDITION,
  INVALID_ARGUMENT: status.INVALID_ARGUMENT,
  DATA_LOSS: status.DATA_LOSS,
};

/** What grpc-js sends when a handler fails: give it to a unary callback, or emit it as a stream's "error". */
export interface CallError extends Error {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

/** What a failed call also tells of the leader. */
export interface LeaderHint {
  readonly term: number;
  /** "" when not known. */
  readonly leader: string;
  readonly leaderAddress: string;
}

export interface TranslatorOptions {
  /** Undefined where no node is there yet, or none of the caller's business. */
  readonly leader: () => LeaderHint | undefined;
  readonly log: Log;
  /** A rule that the program relies on is broken: the process has to end. */
  readonly onFatal: (error: InvariantError) => void;
}

/** Makes a status of whatever a handler failed with. */
export class Translator {
  readonly #options: TranslatorOptions;

  constructor(options: TranslatorOptions) {
    this.#options = options;
  }

  callError(error: unknown): CallError {
    if (error instanceof Failure) return callErrorOf(error, this.#options.leader());
    if (error instanceof InvariantError) this.#options.onFatal(error);
    this.#options.log.error({ err: error }, "a call failed unexpectedly");
    // Its own text stays in the log: it may say what is none of the caller's business. No ErrorInfo: what happened is
    // unknown.
    return asCallError(status.INTERNAL, "internal error", new Metadata());
  }
}

/** The gRPC code of a reason. */
export function codeOf(reason: Reason): status {
  return CODES[reason];
}

/** A reason from the wire; undefined when this build does not know it. */
export function reasonFromWire(reason: string): Reason | undefined {
  return Object.hasOwn(CODES, reason) ? (reason as Reason) : undefined;
}

/** The status of a failure. */
export function callErrorOf(failure: Failure, leader?: LeaderHint): CallError {
  const code = codeOf(failure.reason);
  const metadata = new Metadata();
  metadata.set(DETAILS_TRAILER, Buffer.from(detailsOf(failure, code)));
  if (leader !== undefined) {
    metadata.set("raft-term", String(leader.term));
    if (leader.leader !== "") metadata.set("raft-leader-id", leader.leader);
    if (leader.leaderAddress !== "") metadata.set("raft-leader-address", leader.leaderAddress);
  }
  return asCallError(code, shortened(failure.message), metadata);
}

/**
 * The failure that a call's status carries, which is grpc-js's ServiceError too. Undefined when the status is not one of ours: then the call's outcome is
 * unknown.
 */
export function failureFrom(error: Pick<StatusObject, "details" | "metadata">): Failure | undefined {
  const [trailer] = error.metadata.get(DETAILS_TRAILER);
  if (!(trailer instanceof Buffer)) return undefined;
  try {
    return failureFromDetails(trailer, error.details);
  } catch {
    // Not protobuf, so not from us.
    return undefined;
  }
}

function failureFromDetails(trailer: Buffer, message: string): Failure | undefined {
  let reason: Reason | undefined;
  let detail: FailureDetail = {};
  for (const any of fromBinary(StatusSchema, trailer).details) {
    const info = anyUnpack(any, ErrorInfoSchema);
    if (info?.domain === ERROR_DOMAIN) {
      reason = reasonFromWire(info.reason);
      detail = { ...detail, metadata: info.metadata };
    }
    const retry = anyUnpack(any, RetryInfoSchema);
    if (retry?.retryDelay !== undefined) detail = { ...detail, retryAfterMs: durationMs(retry.retryDelay) };
    const violations = anyUnpack(any, BadRequestSchema)?.fieldViolations;
    if (violations !== undefined) {
      detail = { ...detail, violations: violations.map(({ field, description }) => ({ field, description })) };
    }
  }
  return reason === undefined ? undefined : new Failure(reason, message, detail);
}

function detailsOf(failure: Failure, code: status): Uint8Array {
  const { reason, metadata, retryAfterMs, violations } = failure;
  const details = [
    anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN, metadata: { ...metadata } })),
  ];
  if (retryAfterMs !== undefined) {
    details.push(anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: durationFromMs(retryAfterMs) })));
  }
  if (violations.length > 0) {
    const fieldViolations = violations
      .slice(0, MAX_VIOLATIONS)
      .map(({ field, description }) => ({ field: shortened(field), description: shortened(description) }));
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  return toBinary(StatusSchema, create(StatusSchema, { code, message: shortened(failure.message), details }));
}

/** Well-formed, too: a header is written from it, and half of a surrogate pair can't be. */
function shortened(text: string): string {
  return text.length <= MAX_MESSAGE_LENGTH ? text : `${text.slice(0, MAX_MESSAGE_LENGTH - 1).toWellFormed()}…`;
}

function asCallError(code: status, details: string, metadata: Metadata): CallError {
  return Object.assign(new Error(details), { code, details, metadata });
}
