import { create } from "@bufbuild/protobuf";
import {
  type AcknowledgeRequest,
  type AcknowledgeResponse,
  AcknowledgeResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import { Failure } from "../failure.ts";
import type { NodeApi } from "../node/api.ts";
import { subscriberFromWire } from "./apply-start.ts";
import { type CallContext, type UnaryHandler, unary } from "./calls.ts";
import { generationOf } from "./stream-token.ts";
import { indexFromWire, invalidArgument, toWire } from "./uint64.ts";

/** Serves Acknowledge. */
export function acknowledge(
  context: CallContext,
  node: NodeApi,
): UnaryHandler<AcknowledgeRequest, AcknowledgeResponse> {
  return unary(context, ({ subscriber, streamToken, index }, done) => {
    const name = subscriberFromWire(subscriber);
    const cursor = indexFromWire(index, "index");
    if (cursor === 0) throw invalidArgument("index", "must be 1 or above");
    const generation = generationOf(streamToken, name);
    node.subscriptions.acknowledge({ name, generation, cursor }, (result) => {
      if (result instanceof Failure) return done(result);
      done(create(AcknowledgeResponseSchema, { cursor: toWire(result.cursor) }));
    });
  });
}
