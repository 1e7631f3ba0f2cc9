import { create } from "@bufbuild/protobuf";
import {
  type ProposeResponse,
  ProposeResponseSchema,
  type ProposeResult,
  ProposeResultSchema,
} from "../../gen/raft/v1/log_pb.js";
import { unreachable } from "../assert.ts";
import { Failure } from "../failure.ts";
import type { CommandOutcome } from "../node/api.ts";
import { fromProposeError, toProposeError } from "./propose-error.ts";
import { indexFromWire, invalidArgument, termFromWire, toWire } from "./uint64.ts";

type Committed = Exclude<CommandOutcome, Failure>;

/** Outcomes of single commands, in a node's words and on the wire. */

function toProposeResponse({ index, term, duplicate }: Committed): ProposeResponse {
  return create(ProposeResponseSchema, { index: toWire(index), term: toWire(term), duplicate });
}

export function toProposeResult(requestId: bigint, outcome: CommandOutcome): ProposeResult {
  return create(ProposeResultSchema, {
    requestId,
    outcome:
      outcome instanceof Failure
        ? { case: "error", value: toProposeError(outcome) }
        : { case: "committed", value: toProposeResponse(outcome) },
  });
}

/** Throws INVALID_ARGUMENT. */
export function fromProposeResult({ outcome }: ProposeResult, path: string): CommandOutcome {
  switch (outcome.case) {
    case "committed": {
      const { index, term, duplicate } = outcome.value;
      return {
        index: indexFromWire(index, `${path}.committed.index`),
        term: termFromWire(term, `${path}.committed.term`),
        duplicate,
      };
    }
    case "error":
      return fromProposeError(outcome.value);
    case undefined:
      throw invalidArgument(`${path}.outcome`, "must be set");
    default:
      return unreachable(outcome);
  }
}
