import type { Server, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { ClusterService } from "../../gen/raft/v1/cluster_pb.js";
import { LogService } from "../../gen/raft/v1/log_pb.js";
import { RaftService } from "../../gen/raft/v1/raft_pb.js";
import { ApplyHub } from "../apply/hub.ts";
import type { InvariantError } from "../assert.ts";
import type { NodeApi } from "../node/api.ts";
import type { TransportListener } from "../node/transport.ts";
import { encodeApplyBatch, entryCodecs } from "./append-codec.ts";
import { type CallContext, OpenStreams } from "./calls.ts";
import { clusterService } from "./cluster-service.ts";
import { serviceDefinition } from "./definition.ts";
import { Health } from "./health.ts";
import { createServer, type Listener, listen } from "./listener.ts";
import { type Log, takeGrpcLog } from "./log.ts";
import { logService } from "./log-service.ts";
import { addReflection } from "./reflection.ts";
import { Translator } from "./status.ts";
import type { GrpcTransport } from "./transport.ts";

const MAX_APPLY_STREAMS = 1_024;
const PROGRESS_INTERVAL_MS = 5_000;

export interface ServerOptions {
  readonly node: NodeApi;
  /** For ListMembers, and for the peer listener. */
  readonly transport: GrpcTransport;
  /** The node's clock, as in `ProposalBatch.deadlineMs`. */
  readonly nowMs: () => number;
  readonly log: Log;
  /** A broken invariant was found: the process has to end. */
  readonly onFatal: (error: InvariantError) => void;
}

export interface ClientListenerOptions extends ServerOptions {
  /** host:port, or unix:PATH; port 0 for any. */
  readonly addresses: readonly string[];
  /** The sidecar's version, for GetStatus. */
  readonly version: string;
  /** The largest command that is accepted. */
  readonly maxCommandBytes: number;
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
  const { node, transport, version, maxCommandBytes } = options;
  const context = contextOf(options, () => node.state());
  const server = createServer({ keepaliveTimeMs: 30_000, keepaliveTimeoutMs: 10_000 });
  const hub = new ApplyHub({
    log: node,
    encode: encodeApplyBatch,
    maxSubscribers: MAX_APPLY_STREAMS,
    progressIntervalMs: options.progressIntervalMs ?? PROGRESS_INTERVAL_MS,
  });
  const health = new Health(node, [LogService.typeName, ClusterService.typeName]);
  server.addService(serviceDefinition(LogService, entryCodecs), logService(context, node, hub, maxCommandBytes));
  server.addService(
    serviceDefinition(ClusterService, entryCodecs),
    clusterService(context, { node, hub, version, connection: (member) => transport.connection(member) }),
  );
  health.addTo(endingStreams(server, context.streams));
  addReflection(endingStreams(server, context.streams));
  const release = (): void => {
    health.close();
    hub.close();
  };
  return listenAndRelease(server, options.addresses, context, release);
}

/** Serves the other members: RaftService, and health. Rejects with a ListenError. */
export async function startPeerListener(options: PeerListenerOptions): Promise<Listener> {
  const context = contextOf(options, () => undefined);
  const server = createServer({ keepaliveTimeMs: 5_000, keepaliveTimeoutMs: 3_000 });
  const health = new Health(options.node, [RaftService.typeName]);
  server.addService(serviceDefinition(RaftService, entryCodecs), options.transport.service(context, options.listener));
  health.addTo(endingStreams(server, context.streams));
  return listenAndRelease(server, [options.address], context, () => health.close());
}

function contextOf(
  { log, onFatal, nowMs }: ServerOptions,
  leader: ConstructorParameters<typeof Translator>[0]["leader"],
): CallContext {
  takeGrpcLog(log);
  return { translator: new Translator({ leader, log, onFatal }), streams: new OpenStreams(), nowMs };
}

async function listenAndRelease(
  server: Server,
  addresses: readonly string[],
  { streams }: CallContext,
  release: () => void,
): Promise<Listener> {
  try {
    const listener = await listen(server, addresses, streams);
    return { ...listener, close: (graceMs) => listener.close(graceMs).finally(release) };
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * The server, for services of a library: their streams are remembered, too, and ended with the others. Without it a
 * health watch would hold up every shutdown.
 */
function endingStreams(server: Server, streams: OpenStreams): Pick<Server, "addService"> {
  return {
    addService: (definition: ServiceDefinition, implementation: UntypedServiceImplementation) => {
      const wrapped: UntypedServiceImplementation = { ...implementation };
      for (const [name, { responseStream, originalName }] of Object.entries(definition)) {
        if (!responseStream) continue;
        const key = implementation[name] === undefined ? (originalName ?? name) : name;
        const handle = implementation[key] as ((call: LibraryStream) => void) | undefined;
        if (handle === undefined) continue;
        wrapped[key] = (call: LibraryStream) => {
          streams.add(call, () => call.end());
          handle(call);
        };
      }
      server.addService(definition, wrapped);
    },
  };
}

type LibraryStream = Parameters<OpenStreams["add"]>[0] & { end(): void };
