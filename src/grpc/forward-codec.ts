import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ForwardRequest as ForwardRequestProto,
  ForwardRequestSchema,
  type ForwardResponse as ForwardResponseProto,
  ForwardResponseSchema,
} from "../../gen/raft/v1/raft_pb.js";
import { unreachable } from "../assert.ts";
import { Failure } from "../failure.ts";
import type { ForwardedProposals, ForwardOutcome, ForwardRequest } from "../node/transport.ts";
import { faultOfSubscription } from "../session/subscription.ts";
import { conditionsFromWire, conditionsToWire, someConditions } from "./conditions.ts";
import { fromProposeError, toProposeError } from "./propose-error.ts";
import { fromProposeResult, toProposeResult } from "./propose-result.ts";
import { indexFromWire, invalidArgument, termFromWire, toWire } from "./uint64.ts";

/** Forwarded requests and their outcomes on the wire. */

export function toForwardRequest(id: bigint, request: ForwardRequest): ForwardRequestProto {
  return create(ForwardRequestSchema, {
    id,
    term: toWire(request.term),
    request:
      request.kind === "propose"
        ? { case: "proposals", value: proposalsToWire(request) }
        : { case: "readIndex", value: {} },
  });
}

function proposalsToWire({ commands, conditions, stopOnError, isSubscription }: ForwardedProposals) {
  return {
    commands: [...commands],
    conditions: conditions?.map(conditionsToWire) ?? [],
    stopOnError: stopOnError === true,
    subscription: isSubscription === true,
  };
}

/** Throws INVALID_ARGUMENT. */
export function fromForwardRequest(proto: ForwardRequestProto): ForwardRequest {
  const term = termFromWire(proto.term, "term");
  switch (proto.request.case) {
    case "proposals": {
      const { commands, conditions, stopOnError, subscription } = proto.request.value;
      if (commands.length === 0) throw invalidArgument("proposals.commands", "must not be empty");
      if (commands.some((command) => command.length === 0)) {
        throw invalidArgument("proposals.commands", "must not hold an empty command");
      }
      if (conditions.length !== 0 && conditions.length !== commands.length) {
        throw invalidArgument("proposals.conditions", `must be none or ${commands.length}, are ${conditions.length}`);
      }
      if (subscription && (commands.length !== 1 || conditions.length !== 0)) {
        throw invalidArgument("proposals.commands", "must be one, without conditions, of a subscription");
      }
      const fault = subscription ? faultOfSubscription(commands[0] ?? new Uint8Array(0)) : undefined;
      if (fault !== undefined) throw invalidArgument("proposals.commands[0]", fault);
      return {
        kind: "propose",
        term,
        commands,
        conditions: someConditions(
          conditions.map((each, i) => conditionsFromWire(each, `proposals.conditions[${i}].`)),
        ),
        stopOnError,
        isSubscription: subscription,
      };
    }
    case "readIndex":
      return { kind: "readIndex", term };
    case undefined:
      throw invalidArgument("request", "must be set");
    default:
      return unreachable(proto.request);
  }
}

export function toForwardResponse(id: bigint, outcome: ForwardOutcome): ForwardResponseProto {
  return create(ForwardResponseSchema, { id, outcome: outcomeToWire(outcome) });
}

function outcomeToWire(outcome: ForwardOutcome): MessageInitShape<typeof ForwardResponseSchema>["outcome"] & object {
  switch (outcome.kind) {
    case "committed": {
      const { index, term } = outcome.first;
      return { case: "committed", value: { index: toWire(index), term: toWire(term) } };
    }
    case "each":
      return {
        case: "results",
        value: { results: outcome.outcomes.map((each, i) => toProposeResult(BigInt(i), each)) },
      };
    case "readIndex":
      return { case: "readIndex", value: { index: toWire(outcome.index), term: toWire(outcome.term) } };
    case "failed":
      return { case: "error", value: toProposeError(outcome.failure) };
    case "notSent":
      return { case: "error", value: toProposeError(new Failure("NOT_APPENDED", "the leader did not append it")) };
    case "lost":
      return { case: "error", value: toProposeError(new Failure("OUTCOME_UNKNOWN", "the leader lost sight of it")) };
    default:
      return unreachable(outcome);
  }
}

/** Throws INVALID_ARGUMENT. */
export function fromForwardResponse(proto: ForwardResponseProto): ForwardOutcome {
  switch (proto.outcome.case) {
    case "committed": {
      const { index, term } = proto.outcome.value;
      return {
        kind: "committed",
        first: { index: indexFromWire(index, "committed.index"), term: termFromWire(term, "committed.term") },
      };
    }
    case "readIndex": {
      const { index, term } = proto.outcome.value;
      return {
        kind: "readIndex",
        index: indexFromWire(index, "read_index.index"),
        term: termFromWire(term, "read_index.term"),
      };
    }
    case "results": {
      const { results } = proto.outcome.value;
      return { kind: "each", outcomes: results.map((each, i) => fromProposeResult(each, `results.results[${i}]`)) };
    }
    case "error":
      return { kind: "failed", failure: fromProposeError(proto.outcome.value) };
    case undefined:
      throw invalidArgument("outcome", "must be set");
    default:
      return unreachable(proto.outcome);
  }
}
