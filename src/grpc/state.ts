import { create } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import {
  type GetStateRequest,
  type GetStateResponse,
  GetStateResponseSchema,
  Role,
  type WatchStateRequest,
  type WatchStateResponse,
  WatchStateResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import { Failure } from "../failure.ts";
import type { NodeApi, NodeState, RoleName, StateEvent } from "../node/api.ts";
import { type CallContext, StreamWriter, type UnaryHandler, unary, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { toWire } from "./uint64.ts";

/** Events that wait for a slow reader. */
const MAX_WAITING_EVENTS = 256;

/** An upper bound of an event's bytes, names and addresses included. */
const EVENT_BYTES = 1_024;

const ROLES: Readonly<Record<RoleName, Role>> = {
  follower: Role.FOLLOWER,
  preCandidate: Role.PRE_CANDIDATE,
  candidate: Role.CANDIDATE,
  leader: Role.LEADER,
};

export function getState(context: CallContext, node: NodeApi): UnaryHandler<GetStateRequest, GetStateResponse> {
  return unary(context, (_request, done) => done(toGetStateResponse(node.state())));
}

export function toGetStateResponse(state: NodeState): GetStateResponse {
  return create(GetStateResponseSchema, {
    id: state.id,
    term: toWire(state.term),
    role: ROLES[state.role],
    leaderId: state.leader,
    leaderAddress: state.leaderAddress,
    firstIndex: toWire(state.first),
    commitIndex: toWire(state.commit),
    appliedIndex: toWire(state.applied),
    lastIndex: toWire(state.last),
  });
}

export function watchState(
  context: CallContext,
  node: Pick<NodeApi, "watch" | "onApplied" | "draining">,
): (call: ServerWritableStream<WatchStateRequest | Malformed, WatchStateResponse>) => void {
  return (call) => {
    const waiting: StateEvent[] = [];
    const send = (): void => {
      while (writer.ready) {
        const event = waiting.shift();
        if (event === undefined) return;
        writer.write(toWatchStateResponse(event), EVENT_BYTES);
      }
    };
    const writer = new StreamWriter<WatchStateResponse>(call, context.translator, send);
    try {
      wellFormed(call.request);
    } catch (error) {
      return writer.fail(error);
    }
    context.streams.add(call, (failure) => writer.fail(failure));
    const stopWatching = node.watch((event) => {
      waiting.push(event);
      send();
      if (waiting.length > MAX_WAITING_EVENTS) writer.fail(tooSlow());
    });
    const stopDraining = node.onApplied(() => {
      if (node.draining) writer.fail(new Failure("DRAINING", "this node shuts down; watch any other"));
    });
    call.once("cancelled", () => {
      stopWatching();
      stopDraining();
    });
  };
}

function toWatchStateResponse(event: StateEvent): WatchStateResponse {
  return create(WatchStateResponseSchema, {
    number: toWire(event.number),
    role: ROLES[event.role],
    term: toWire(event.term),
    leaderId: event.leader,
    leaderAddress: event.leaderAddress,
    leaderIndex: toWire(event.leaderIndex),
  });
}

function tooSlow(): Failure {
  return new Failure("OVERLOADED", `the reader is more than ${MAX_WAITING_EVENTS} events behind; watch again`, {
    metadata: { limit: String(MAX_WAITING_EVENTS) },
    retryAfterMs: 100,
  });
}
