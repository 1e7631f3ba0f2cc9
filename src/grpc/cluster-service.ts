import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import {
  type GetStatusRequest,
  type GetStatusResponse,
  GetStatusResponseSchema,
  type ListMembersRequest,
  type ListMembersResponse,
  ListMembersResponseSchema,
  MemberRole,
} from "../../gen/raft/v1/cluster_pb.js";
import type { ApplyHub } from "../apply/hub.ts";
import type { NodeApi } from "../node/api.ts";
import type { Snapshots } from "../node/snapshots.ts";
import type { NodeId } from "../raft/types.ts";
import { type CallContext, type UnaryHandler, unary } from "./calls.ts";
import { toDiskUsage } from "./disk-codec.ts";
import { readLog } from "./read-log.ts";
import { toSnapshot } from "./snapshot-codec.ts";
import { toGetStateResponse } from "./state.ts";
import { toWire } from "./uint64.ts";

/** How this node reaches another member. */
export interface PeerConnection {
  readonly connected: boolean;
  /** Why not, for people; "" when it is connected. */
  readonly error: string;
}

export interface ClusterServiceOptions {
  readonly node: NodeApi;
  readonly hub: ApplyHub;
  readonly snapshots: Snapshots;
  /** The sidecar's version. */
  readonly version: string;
  /** Of another member than this node. */
  readonly connection: (member: NodeId) => PeerConnection;
}

/** The handlers of `raft.v1.ClusterService`. */
export function clusterService(context: CallContext, options: ClusterServiceOptions): UntypedServiceImplementation {
  return {
    GetStatus: getStatus(context, options),
    ListMembers: listMembers(context, options),
    ReadLog: readLog(context, options.node),
  };
}

function getStatus(
  context: CallContext,
  { node, hub, snapshots, version }: ClusterServiceOptions,
): UnaryHandler<GetStatusRequest, GetStatusResponse> {
  return unary(context, (_request, done) => {
    const status = node.status();
    const { latest } = snapshots;
    const response = create(GetStatusResponseSchema, {
      clusterId: status.clusterId,
      logId: node.logId,
      state: toGetStateResponse(node.state()),
      durableIndex: toWire(status.durable),
      version,
      uptime: durationFromMs(Math.round(process.uptime() * 1_000)),
      ready: status.notReadyReason === "" && !node.draining,
      notReadyReason: node.draining && status.notReadyReason === "" ? "shutting down" : status.notReadyReason,
      proposalsInFlight: status.proposalsInFlight,
      applyStreams: hub.subscribers,
      peers: status.peers.map(({ id, match, next, state, inFlight }) => ({
        id,
        matchIndex: toWire(match),
        nextIndex: toWire(next),
        state,
        inFlight,
      })),
      ...(latest === undefined ? {} : { snapshot: toSnapshot(latest) }),
      ...(status.disk === undefined ? {} : { disk: toDiskUsage(status.disk) }),
    });
    done(response);
  });
}

function listMembers(
  context: CallContext,
  { node, connection }: ClusterServiceOptions,
): UnaryHandler<ListMembersRequest, ListMembersResponse> {
  return unary(context, (_request, done) => {
    const self = node.state().id;
    const members = node.members().map(({ id, peerAddress, clientAddress, incarnation }) => ({
      id,
      role: MemberRole.VOTER,
      peerAddress,
      clientAddress,
      incarnation,
      ...(id === self ? { connected: true, error: "" } : connection(id)),
    }));
    members.sort((a, b) => (a.id < b.id ? -1 : 1));
    done(create(ListMembersResponseSchema, { members }));
  });
}
