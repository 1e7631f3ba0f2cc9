import { randomInt } from "node:crypto";
import type { Logger } from "pino";
import { systemClock } from "../clock.ts";
import { parseAddress } from "../config/address.ts";
import type { ServeConfig } from "../config/options.ts";
import { Failure } from "../failure.ts";
import type { Listener } from "../grpc/listener.ts";
import { type ServerOptions, startClientListener, startPeerListener } from "../grpc/server.ts";
import { GrpcTransport } from "../grpc/transport.ts";
import { type HttpServer, startHttpServer } from "../http/server.ts";
import type { DiskStatus, StateEvent } from "../node/api.ts";
import { Node } from "../node/node.ts";
import { PIPELINE } from "../node/options.ts";
import type { RetentionStatus } from "../node/retention.ts";
import { SnapshotTransfers } from "../node/snapshot-transfers.ts";
import { StorageError } from "../storage/error.ts";
import { openSqliteStorage } from "../storage/open.ts";
import type { Storage } from "../storage/storage.ts";
import { CommandError, EXIT } from "./exit.ts";
import { connectionsWithin, maxOpenFiles } from "./open-files.ts";
import { VERSION } from "./version.ts";

/** How long pending proposals get for their answers, and calls for their end, once the node is asked to stop. */
const DRAIN_MS = 2_500;
const CLIENT_GRACE_MS = 1_000;
const PEER_GRACE_MS = 250;

/** How long callers get to hear that the disk failed. They go on elsewhere, so they are not kept waiting. */
const FAILED_GRACE_MS = 150;

/** A node with its disk and its listeners. */
export interface Sidecar {
  /**
   * Takes nothing new, answers what is pending, ends the streams with a status, then closes everything; within 4 s as
   * far as the disk allows.
   */
  stop(): Promise<void>;
}

interface Parts {
  readonly storage: Storage;
  readonly snapshots: SnapshotTransfers;
  readonly node: Node;
  readonly transport: GrpcTransport;
  readonly client: Listener;
  readonly peer: Listener;
  readonly http: HttpServer;
}

/**
 * Opens the data directory, binds all listeners, and starts to take part. Rejects with a StorageError, or with a
 * CommandError that names the address; then the process has to end, as some parts may still be open. `onFatal` is called
 * when the node can't go on; when it is its storage that failed, once the callers have been told.
 */
export async function startSidecar(
  config: ServeConfig,
  log: Logger,
  onFatal: (error: unknown) => void,
): Promise<Sidecar> {
  const { id, clusterId, dataDir, initialCluster, minFreeBytes } = config;
  const bootstrapVoters = initialCluster.map((member) => member.id);
  const storage = await openSqliteStorage({ dataDir, nodeId: id, clusterId, bootstrapVoters, minFreeBytes });
  let parts: Parts | undefined;
  let failing: Promise<void> | undefined;
  const node = startNode(config, storage, log, (error) => {
    // After a broken invariant nothing is certain, not even what to tell.
    if (parts === undefined || !(error instanceof StorageError)) return onFatal(error);
    failing = tellFailed(parts).finally(() => onFatal(error));
  });
  const peers = new Map(
    initialCluster.filter((member) => member.id !== id).map((member) => [member.id, member.peerAddress]),
  );
  const snapshots = new SnapshotTransfers(node, storage.snapshotFiles, (error) => storage.fail(error));
  const { snapshotRate } = config;
  const transport = new GrpcTransport({ self: id, peers, handshaker: node.handshaker, snapshots, snapshotRate, log });
  const listeners = await startListeners(config, { node, transport, clock: systemClock, log, onFatal }, snapshots);
  transport.start(node);
  node.start(transport);
  const started = { storage, snapshots, node, transport, ...listeners };
  parts = started;
  return {
    stop: async () => {
      if (failing === undefined) await stop(started, log);
      // The disk may have failed with the last writes: then it is `onFatal` that ends the process.
      await failing;
    },
  };
}

function startNode(config: ServeConfig, storage: Storage, log: Logger, onFatal: (error: unknown) => void): Node {
  return new Node(
    {
      ...config,
      ...PIPELINE,
      initialMembers: config.initialCluster,
      clientAddress: config.advertiseClientAddress,
      peerAddress: config.advertisePeerAddress,
    },
    {
      clock: systemClock,
      random: (bound) => randomInt(bound),
      storage,
      onStateEvent: roleLogger(log),
      onInstall: ({ from, index, failure }) => {
        if (failure === undefined) log.info({ from, index }, "took over a snapshot");
        else log.warn({ from, index, detail: failure.message }, "could not take over a snapshot");
      },
      onDiskEvent: (status) => logDisk(log, status),
      onRetentionEvent: (status) => logRetention(log, status),
      onFatal,
    },
  );
}

/** Says so before the policy acts, when it does, and when all is well again. */
function logRetention(log: Logger, { level, slowest, ...numbers }: RetentionStatus): void {
  const fields = { subscriber: slowest, level, ...numbers };
  if (level === "well") log.info(fields, "the log keeps enough for all durable subscribers again");
  else log.warn(fields, "a durable subscriber needs more of the log than is to be kept, or soon will");
}

/** Writes a line for each change of role, term or leader; a leader's address that becomes known is none. */
function roleLogger(log: Logger): (event: StateEvent) => void {
  let last = "";
  return ({ role, term, leader }) => {
    const line = `${role} ${term} ${leader}`;
    if (line === last) return;
    last = line;
    log.info({ role, term, leader }, "role");
  };
}

function logDisk(log: Logger, { low, ...usage }: DiskStatus): void {
  if (low) log.warn(usage, "the disk is nearly full: while this node leads it appends nothing new");
  else log.info(usage, "the disk has room again");
}

async function startListeners(
  config: ServeConfig,
  shared: ServerOptions & { readonly node: Node },
  snapshots: SnapshotTransfers,
): Promise<Pick<Parts, "client" | "peer" | "http">> {
  const { clientAddress, clientSocket, peerAddress, httpAddress } = config;
  const { node } = shared;
  const addresses = clientSocket === "" ? [clientAddress] : [clientAddress, `unix:${clientSocket}`];
  const openFiles = maxOpenFiles();
  const maxConnections = connectionsWithin(config.maxConnections, openFiles);
  if (maxConnections < config.maxConnections) {
    const detail = `only ${maxConnections} of --max-connections ${config.maxConnections} fit into the limit of open files`;
    shared.log.warn({ detail: `${detail}, ${openFiles}; raise it (ulimit -n)` }, "caution");
  }
  const peer = await naming(["peer-address"], startPeerListener({ ...shared, address: peerAddress, listener: node }));
  const client = await naming(
    clientSocket === "" ? ["client-address"] : ["client-address", "client-socket"],
    startClientListener({ ...shared, snapshots, addresses, version: VERSION, limits: { ...config, maxConnections } }),
  );
  const { host, port } = parseAddress(httpAddress) ?? { host: "", port: 0 };
  const notReadyReason = (): string => (node.draining ? "shutting down" : node.status().notReadyReason);
  const http = await naming(["http-address"], startHttpServer({ host, port, notReadyReason }));
  return { client, peer, http };
}

/** Says which options an address that can't be listened on came from. */
async function naming<T>(keys: readonly string[], listening: Promise<T>): Promise<T> {
  try {
    return await listening;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const flags = keys.map((key) => `--${key}`).join(" or ");
    throw new CommandError(EXIT.failed, `${flags}: ${reason}`, undefined, error);
  }
}

async function stop({ storage, snapshots, node, transport, client, peer, http }: Parts, log: Logger): Promise<void> {
  if (!(await drained(node))) log.warn({ afterMs: DRAIN_MS }, "some proposals have no answer yet");
  // Answers what is left, before the calls that wait for it are cut off.
  node.stop();
  // At once, so that the others notice a leader that went away by its connections.
  transport.close();
  await Promise.all([client.close(CLIENT_GRACE_MS), peer.close(PEER_GRACE_MS), http.close()]);
  await snapshots.close();
  await storage.close();
}

/** The node has ended and answered what was pending. Brings these answers out, and ends the streams with a reason. */
async function tellFailed({ transport, client, peer }: Parts): Promise<void> {
  const failure = new Failure("DATA_LOSS", "this node's storage failed; go on with any other");
  transport.close();
  await Promise.all([client.close(FAILED_GRACE_MS, failure), peer.close(FAILED_GRACE_MS, failure)]);
}

/** Whether everything pending got its answer in time. */
function drained(node: Node): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), DRAIN_MS);
    node.drain(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
