import { create } from "@bufbuild/protobuf";
import { type ReadIndexRequest, type ReadIndexResponse, ReadIndexResponseSchema } from "../../gen/raft/v1/log_pb.js";
import type { Failure } from "../failure.ts";
import type { CommandOutcome, NodeApi } from "../node/api.ts";
import { outcomeOf } from "../node/proposal-result.ts";
import { type CallContext, deadlineOnNodeClock, type UnaryHandler, unary } from "./calls.ts";
import { conditionsFromWire, someConditions } from "./conditions.ts";
import type { Proposal } from "./propose-codec.ts";
import { invalidArgument, toWire } from "./uint64.ts";

/** What may be proposed. */
export interface ProposeLimits {
  /** The largest command that is accepted. */
  readonly maxCommandBytes: number;
  /** The node's bounds of what has no answer yet, of commands and of their bytes. What alone is beyond them never fits. */
  readonly maxProposals: number;
  readonly maxProposalBytes: number;
}

export function propose(
  context: CallContext,
  node: NodeApi,
  { maxCommandBytes }: ProposeLimits,
): UnaryHandler<Proposal, CommandOutcome> {
  return unary(context, (request, done, call) => {
    const { command } = request;
    const refusal = refuseCommand(command, maxCommandBytes, "command");
    if (refusal !== undefined) return done(refusal);
    node.propose({
      commands: [command],
      conditions: someConditions([conditionsFromWire(request)]),
      deadlineMs: deadlineOnNodeClock(call.getDeadline(), context.nowMs),
      ordered: false,
      done: (result) => done(outcomeOf(result, 0)),
    });
  });
}

export function readIndex(context: CallContext, node: NodeApi): UnaryHandler<ReadIndexRequest, ReadIndexResponse> {
  return unary(context, (_request, done, call) => {
    node.readIndex(deadlineOnNodeClock(call.getDeadline(), context.nowMs), (result) => {
      if (result.kind === "failed") return done(result.failure);
      done(create(ReadIndexResponseSchema, { index: toWire(result.index), term: toWire(result.term) }));
    });
  });
}

/** Why a command can't be proposed. `field` is its path in the request. */
export function refuseCommand(command: Uint8Array, maxBytes: number, field: string): Failure | undefined {
  if (command.length === 0) return invalidArgument(field, `must have 1 to ${maxBytes} bytes, is empty`);
  if (command.length <= maxBytes) return undefined;
  return invalidArgument(field, `must have 1 to ${maxBytes} bytes, has ${command.length}`);
}
