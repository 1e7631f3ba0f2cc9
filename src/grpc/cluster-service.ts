import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import {
  type CompactRequest,
  type CompactResponse,
  CompactResponseSchema,
  type GetStatusRequest,
  type GetStatusResponse,
  GetStatusResponseSchema,
  type ListMembersRequest,
  type ListMembersResponse,
  ListMembersResponseSchema,
  MemberRole,
  type Retention,
  RetentionSchema,
  type SnapshotPull,
  SnapshotPullSchema,
} from "../../gen/raft/v1/cluster_pb.js";
import type { ApplyHub } from "../apply/hub.ts";
import type { NodeApi } from "../node/api.ts";
import type { RetentionStatus } from "../node/retention.ts";
import type { SnapshotTransfers } from "../node/snapshot-transfers.ts";
import type { NodeId } from "../raft/types.ts";
import { type CallContext, type UnaryHandler, unary } from "./calls.ts";
import { toDiskUsage } from "./disk-codec.ts";
import { readLog } from "./read-log.ts";
import { toSnapshot } from "./snapshot-codec.ts";
import type { PullProgress } from "./snapshot-pull.ts";
import { toGetStateResponse } from "./state.ts";
import { subscriberHandlers } from "./subscribers.ts";
import { indexFromWire, toWire } from "./uint64.ts";
import { verifyLog } from "./verify-log.ts";

/** How this node reaches another member. */
export interface PeerConnection {
  readonly connected: boolean;
  /** Why not, for people; "" when it is connected. */
  readonly error: string;
}

export interface ClusterServiceOptions {
  readonly node: NodeApi;
  readonly hub: ApplyHub;
  readonly snapshots: SnapshotTransfers;
  /** The sidecar's version. */
  readonly version: string;
  /** Of another member than this node. */
  readonly connection: (member: NodeId) => PeerConnection;
  /** Of the snapshot that this node is pulling; undefined for none. */
  readonly pullProgress: () => PullProgress | undefined;
}

/** The handlers of `raft.v1.ClusterService`. */
export function clusterService(context: CallContext, options: ClusterServiceOptions): UntypedServiceImplementation {
  return {
    GetStatus: getStatus(context, options),
    ListMembers: listMembers(context, options),
    ReadLog: readLog(context, options.node),
    Compact: compact(context, options.node),
    VerifyLog: verifyLog(context, options.node, options.snapshots),
    ...subscriberHandlers(context, options.node),
  };
}

function getStatus(
  context: CallContext,
  { node, hub, snapshots, version, pullProgress }: ClusterServiceOptions,
): UnaryHandler<GetStatusRequest, GetStatusResponse> {
  return unary(context, (_request, done) => {
    const status = node.status();
    const { latest } = snapshots;
    const pull = pullProgress();
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
      ...(pull === undefined ? {} : { snapshotPull: toSnapshotPull(pull) }),
      ...(status.retention.slowest === "" ? {} : { retention: toRetention(status.retention) }),
      ...(status.disk === undefined ? {} : { disk: toDiskUsage(status.disk) }),
    });
    done(response);
  });
}

function compact(context: CallContext, node: NodeApi): UnaryHandler<CompactRequest, CompactResponse> {
  return unary(context, ({ keepEntries }, done) => {
    const keep = keepEntries === undefined ? undefined : indexFromWire(keepEntries, "keep_entries");
    done(create(CompactResponseSchema, { firstIndex: toWire(node.compact(keep)) }));
  });
}

function toRetention({ policy, slowest, lagEntries, logBytes, level }: RetentionStatus): Retention {
  return create(RetentionSchema, {
    policy,
    slowestSubscriber: slowest,
    lagEntries: toWire(lagEntries),
    logBytes: toWire(logBytes),
    level,
  });
}

function toSnapshotPull({ member, index, received, total }: PullProgress): SnapshotPull {
  return create(SnapshotPullSchema, {
    memberId: member,
    index: toWire(index),
    receivedBytes: toWire(received),
    totalBytes: toWire(total),
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
