import type { Server } from "@grpc/grpc-js";
import { ClusterService } from "../../gen/raft/v1/cluster_pb.js";
import { LogService } from "../../gen/raft/v1/log_pb.js";
import { RaftService } from "../../gen/raft/v1/raft_pb.js";
import { ApplyHub } from "../apply/hub.ts";
import type { InvariantError } from "../assert.ts";
import type { Clock } from "../clock.ts";
import type { NodeApi } from "../node/api.ts";
import { snapshotSource } from "../node/snapshot-source.ts";
import type { SnapshotTransfers } from "../node/snapshot-transfers.ts";
import type { TransportListener } from "../node/transport.ts";
import { encodeApplyBatch, entryCodecs } from "./append-codec.ts";
import { type CallContext, OpenStreams } from "./calls.ts";
import { clusterService } from "./cluster-service.ts";
import { serviceDefinition } from "./definition.ts";
import { FrontDoor, type FrontDoorLimits } from "./front-door.ts";
import { Health } from "./health.ts";
import { servingLibraries } from "./library-service.ts";
import { createServer, type Listener, listen } from "./listener.ts";
import { type Log, takeGrpcLog } from "./log.ts";
import { logService } from "./log-service.ts";
import type { ProposeLimits } from "./propose.ts";
import { proposeCodecs } from "./propose-codec.ts";
import { addReflection } from "./reflection.ts";
import { type LeaderHint, Translator } from "./status.ts";
import type { GrpcTransport } from "./transport.ts";

const MAX_APPLY_STREAMS = 1_024;

/** Calls of all kinds on the client listener: as many as there may be proposals or barriers without an answer. */
const MAX_CLIENT_CALLS = 16_384;

/** A member needs one connection, two streams, and a call for a vote. */
const PEER_LIMITS: FrontDoorLimits = { maxConnections: 256, maxCalls: 1_024, maxStreams: 512 };

/** Peers have a stream open all the time. A connection that has none is of no use, and others may need its place. */
const PEER_IDLE_MS = 30_000;
const PROGRESS_INTERVAL_MS = 5_000;

export interface ServerOptions {
  readonly node: NodeApi;
  /** For ListMembers, and for the peer listener. */
  readonly transport: GrpcTransport;
  /** The node's. */
  readonly clock: Clock;
  readonly log: Log;
  /** A broken invariant was found: the process has to end. */
  readonly onFatal: (error: InvariantError) => void;
}

export interface ClientListenerOptions extends ServerOptions {
  /** host:port, or unix:PATH; port 0 for any. */
  readonly addresses: readonly string[];
  /** The sidecar's version, for GetStatus. */
  readonly version: string;
  readonly snapshots: SnapshotTransfers;
  readonly limits: ProposeLimits & Pick<FrontDoorLimits, "maxConnections" | "maxStreams">;
  /** How often an idle ApplyStream says how far it is. 5 s when not given. */
  readonly progressIntervalMs?: number;
}

export interface PeerListenerOptions extends ServerOptions {
  /** host:port; port 0 for any. */
  readonly address: string;
  /** The node: what peers say goes to it. */
  readonly listener: TransportListener;
}

/** Serves applications and operators: LogService, ClusterService, health and reflection. Rejects with a ListenError. */
export async function startClientListener(options: ClientListenerOptions): Promise<Listener> {
  const { node, transport, snapshots, version, limits } = options;
  const leader = (): LeaderHint => node.state();
  const context = contextOf(options, leader);
  const server = createServer({ keepaliveTimeMs: 30_000, keepaliveTimeoutMs: 10_000 });
  const door = doorOf(options, leader, { ...limits, maxCalls: MAX_CLIENT_CALLS });
  const services = door.seeing(server);
  const hub = new ApplyHub({
    log: node,
    encode: encodeApplyBatch,
    snapshots: snapshotSource(snapshots),
    clock: options.clock,
    maxSubscribers: MAX_APPLY_STREAMS,
    progressIntervalMs: options.progressIntervalMs ?? PROGRESS_INTERVAL_MS,
  });
  const health = new Health(node, [LogService.typeName, ClusterService.typeName]);
  const logMethods = serviceDefinition(LogService, { ...entryCodecs, ...proposeCodecs });
  const logHandlers = logService(context, node, hub, snapshots, limits);
  services.addService(logMethods, logHandlers);
  door.serve(logMethods, logHandlers, ["Propose", "ReadIndex"]);
  services.addService(
    serviceDefinition(ClusterService, entryCodecs),
    clusterService(context, {
      node,
      hub,
      snapshots,
      version,
      connection: (member) => transport.connection(member),
      pullProgress: () => transport.pullProgress,
    }),
  );
  health.addTo(servingLibraries(services, context));
  addReflection(servingLibraries(services, context));
  const release = (): void => {
    health.close();
    hub.close();
  };
  return listenAndRelease(server, door, options.addresses, context, release);
}

/** Serves the other members: RaftService, and health. Rejects with a ListenError. */
export async function startPeerListener(options: PeerListenerOptions): Promise<Listener> {
  const leader = (): undefined => undefined;
  const context = contextOf(options, leader);
  const server = createServer({ keepaliveTimeMs: 5_000, keepaliveTimeoutMs: 3_000, idleMs: PEER_IDLE_MS });
  const door = doorOf(options, leader, PEER_LIMITS);
  const services = door.seeing(server);
  const health = new Health(options.node, [RaftService.typeName]);
  services.addService(
    serviceDefinition(RaftService, entryCodecs),
    options.transport.service(context, options.listener),
  );
  health.addTo(servingLibraries(services, context));
  return listenAndRelease(server, door, [options.address], context, () => health.close());
}

function doorOf(
  { log, clock }: ServerOptions,
  leader: () => LeaderHint | undefined,
  limits: FrontDoorLimits,
): FrontDoor {
  return new FrontDoor({ limits, leader, log, nowMs: clock.nowMs });
}

function contextOf({ log, onFatal, clock }: ServerOptions, leader: () => LeaderHint | undefined): CallContext {
  takeGrpcLog(log);
  return { translator: new Translator({ leader, log, onFatal }), streams: new OpenStreams(), nowMs: clock.nowMs };
}

async function listenAndRelease(
  server: Server,
  door: FrontDoor,
  addresses: readonly string[],
  { streams }: CallContext,
  release: () => void,
): Promise<Listener> {
  const releaseAll = (): void => {
    door.close();
    release();
  };
  try {
    const listener = await listen(server, addresses, streams);
    door.guard(server);
    return { ...listener, close: (graceMs, failure) => listener.close(graceMs, failure).finally(releaseAll) };
  } catch (error) {
    releaseAll();
    throw error;
  }
}
