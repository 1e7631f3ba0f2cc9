import { create } from "@bufbuild/protobuf";
import type { handleUnaryCall } from "@grpc/grpc-js";
import {
  type ProposeRequest,
  type ProposeResponse,
  ProposeResponseSchema,
  type ReadIndexRequest,
  type ReadIndexResponse,
  ReadIndexResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import type { Failure } from "../failure.ts";
import type { NodeApi } from "../node/api.ts";
import { type CallContext, deadlineOnNodeClock, unary } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { invalidArgument, toWire } from "./uint64.ts";

export function propose(
  context: CallContext,
  node: NodeApi,
  maxCommandBytes: number,
): handleUnaryCall<ProposeRequest | Malformed, ProposeResponse> {
  return unary(context, ({ command }, done, call) => {
    const refusal = refuseCommand(command, maxCommandBytes, "command");
    if (refusal !== undefined) return done(refusal);
    node.propose({
      commands: [command],
      deadlineMs: deadlineOnNodeClock(call.getDeadline(), context.nowMs),
      ordered: false,
      done: (result) => {
        if (result.kind === "failed") return done(result.failure);
        const { index, term } = result.first;
        done(create(ProposeResponseSchema, { index: toWire(index), term: toWire(term) }));
      },
    });
  });
}

export function readIndex(
  context: CallContext,
  node: NodeApi,
): handleUnaryCall<ReadIndexRequest | Malformed, ReadIndexResponse> {
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
