import { create } from "@bufbuild/protobuf";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { type ProposeError, ProposeErrorSchema } from "../../gen/raft/v1/log_pb.js";
import { Failure } from "../failure.ts";
import { codeOf, reasonFromWire } from "./status.ts";

/** A failure as one item of a stream carries it. */
export function toProposeError(failure: Failure): ProposeError {
  return create(ProposeErrorSchema, {
    code: codeOf(failure.reason),
    reason: failure.reason,
    message: failure.message,
    metadata: { ...failure.metadata },
    ...(failure.retryAfterMs === undefined ? {} : { retryAfter: durationFromMs(failure.retryAfterMs) }),
  });
}

/** The failure that an item carries. With a reason that this build does not know, the item's outcome is unknown. */
export function fromProposeError(error: ProposeError): Failure {
  const reason = reasonFromWire(error.reason);
  if (reason === undefined) {
    return new Failure("OUTCOME_UNKNOWN", `failed with the unknown reason ${error.reason}: ${error.message}`);
  }
  return new Failure(reason, error.message, {
    metadata: error.metadata,
    ...(error.retryAfter === undefined ? {} : { retryAfterMs: durationMs(error.retryAfter) }),
  });
}
