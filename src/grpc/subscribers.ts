import { create } from "@bufbuild/protobuf";
import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import {
  type ListSubscribersRequest,
  type ListSubscribersResponse,
  ListSubscribersResponseSchema,
  type RemoveSubscriberRequest,
  type RemoveSubscriberResponse,
  RemoveSubscriberResponseSchema,
} from "../../gen/raft/v1/cluster_pb.js";
import type { NodeApi } from "../node/api.ts";
import { MAX_INDEX } from "../raft/types.ts";
import { subscriberFromWire } from "./apply-start.ts";
import { type CallContext, type UnaryHandler, unary } from "./calls.ts";
import { toWire } from "./uint64.ts";

/** Serves ListSubscribers and RemoveSubscriber. */
export function subscriberHandlers(context: CallContext, node: NodeApi): UntypedServiceImplementation {
  const list: UnaryHandler<ListSubscribersRequest, ListSubscribersResponse> = unary(context, (_request, done) => {
    const { applied } = node.state();
    const subscribers = node.subscriptions.list().map(({ name, cursor, generation }) => ({
      name,
      cursor: toWire(cursor),
      lagEntries: toWire(Math.max(0, applied - cursor)),
      generation: toWire(generation),
    }));
    subscribers.sort((a, b) => (a.name < b.name ? -1 : 1));
    done(create(ListSubscribersResponseSchema, { subscribers }));
  });
  const remove: UnaryHandler<RemoveSubscriberRequest, RemoveSubscriberResponse> = unary(context, ({ name }, done) => {
    node.subscriptions.remove(subscriberFromWire(name, "name"), MAX_INDEX, (failure) => {
      done(failure ?? create(RemoveSubscriberResponseSchema));
    });
  });
  return { ListSubscribers: list, RemoveSubscriber: remove };
}
