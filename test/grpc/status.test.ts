import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Metadata, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import { InvariantError } from "../../src/assert.ts";
import { Failure, type Reason } from "../../src/failure.ts";
import { fromProposeError, toProposeError } from "../../src/grpc/propose-error.ts";
import { type CallError, callErrorOf, failureFrom, Translator } from "../../src/grpc/status.ts";

/** As the contract's table has it. */
const CODES: Readonly<Record<Reason, status>> = {
  NO_LEADER: status.UNAVAILABLE,
  DRAINING: status.UNAVAILABLE,
  NOT_APPENDED: status.UNAVAILABLE,
  OUTCOME_UNKNOWN: status.ABORTED,
  TERM_CHANGED: status.FAILED_PRECONDITION,
  NOT_LEADER: status.FAILED_PRECONDITION,
  SEQUENCE_TOO_OLD: status.OUT_OF_RANGE,
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

const DETAILED = new Failure("OVERLOADED", "too many", {
  metadata: { limit: "7" },
  retryAfterMs: 1_250,
  violations: [{ field: "items[3].command", description: "is empty" }],
});

describe("a failure as a gRPC status", () => {
  it.each(Object.entries(CODES) as [Reason, status][])("%s has code %i and comes back as itself", (reason, code) => {
    const error = callErrorOf(new Failure(reason, `because of ${reason}`));
    expect(error.code).toBe(code);
    const failure = failureFrom(error);
    expect(failure?.reason).toBe(reason);
    expect(failure?.message).toBe(`because of ${reason}`);
  });

  it("carries ErrorInfo of our domain, RetryInfo and BadRequest", () => {
    const error = callErrorOf(DETAILED);
    const { code, details } = fromBinary(StatusSchema, detailsTrailer(error));
    expect(code).toBe(status.RESOURCE_EXHAUSTED);
    const [info] = details.flatMap((any) => anyUnpack(any, ErrorInfoSchema) ?? []);
    expect(info).toMatchObject({ reason: "OVERLOADED", domain: "raft-sidecar", metadata: { limit: "7" } });
    const [retry] = details.flatMap((any) => anyUnpack(any, RetryInfoSchema) ?? []);
    expect(retry?.retryDelay).toMatchObject({ seconds: 1n, nanos: 250_000_000 });
    expect(failureFrom(error)).toMatchObject({
      metadata: { limit: "7" },
      retryAfterMs: 1_250,
      violations: [{ field: "items[3].command", description: "is empty" }],
    });
  });

  it("has no RetryInfo and no BadRequest where there is nothing to say", () => {
    const { details } = fromBinary(StatusSchema, detailsTrailer(callErrorOf(new Failure("NO_LEADER", "none"))));
    expect(details).toHaveLength(1);
  });

  it("says in plain trailers who leads, as far as it is known", () => {
    const failure = new Failure("NO_LEADER", "none");
    const known = callErrorOf(failure, { term: 3, leader: "n2", leaderAddress: "127.0.0.1:7430" }).metadata;
    expect(known.get("raft-leader-id")).toEqual(["n2"]);
    expect(known.get("raft-leader-address")).toEqual(["127.0.0.1:7430"]);
    expect(known.get("raft-term")).toEqual(["3"]);
    const unknown = callErrorOf(failure, { term: 3, leader: "", leaderAddress: "" }).metadata;
    expect(unknown.get("raft-leader-id")).toEqual([]);
    expect(unknown.get("raft-leader-address")).toEqual([]);
  });

  it("is not read out of a status that is not ours: the outcome stays unknown", () => {
    const metadata = new Metadata();
    expect(failureFrom({ details: "gone", metadata })).toBeUndefined();
    metadata.set("grpc-status-details-bin", Buffer.from([0xff, 0xff]));
    expect(failureFrom({ details: "gone", metadata })).toBeUndefined();
  });
});

describe("an unexpected exception", () => {
  it("becomes INTERNAL without its text and without ErrorInfo, and is logged", () => {
    const { translator, logged, fatal } = translatorForTest();
    const error = translator.callError(new TypeError("secret of the house"));
    expect(error.code).toBe(status.INTERNAL);
    expect(error.details).not.toContain("secret");
    expect(failureFrom(error)).toBeUndefined();
    expect(logged).toHaveLength(1);
    expect(fatal).toHaveLength(0);
  });

  it("ends the process when it is a broken invariant", () => {
    const { translator, fatal } = translatorForTest();
    translator.callError(new InvariantError("commit went back"));
    expect(fatal).toHaveLength(1);
  });
});

describe("a failure as an item's error", () => {
  it("comes back as itself", () => {
    const failure = fromProposeError(toProposeError(DETAILED));
    expect(failure).toMatchObject({ reason: "OVERLOADED", message: "too many", metadata: { limit: "7" } });
    expect(failure.retryAfterMs).toBe(1_250);
  });

  it("with a reason of a later version leaves the outcome unknown", () => {
    const error = { ...toProposeError(DETAILED), reason: "NEW_REASON" };
    expect(fromProposeError(error).reason).toBe("OUTCOME_UNKNOWN");
  });
});

function detailsTrailer(error: CallError): Buffer {
  const [trailer] = error.metadata.get("grpc-status-details-bin");
  if (!(trailer instanceof Buffer)) throw new Error("no details");
  return trailer;
}

function translatorForTest() {
  const logged: object[] = [];
  const fatal: InvariantError[] = [];
  const ignore = (): void => {};
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const translator = new Translator({
    leader: () => undefined,
    log: { ...log, error: (fields) => void logged.push(fields) },
    onFatal: (error) => fatal.push(error),
  });
  return { translator, logged, fatal };
}
