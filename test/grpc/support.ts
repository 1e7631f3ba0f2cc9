import { randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type ServiceError,
  type StatusObject,
} from "@grpc/grpc-js";
import { systemClock } from "../../src/clock.ts";
import { methodDefinition } from "../../src/grpc/definition.ts";
import type { Listener } from "../../src/grpc/listener.ts";
import type { Log } from "../../src/grpc/log.ts";
import { startClientListener, startPeerListener } from "../../src/grpc/server.ts";
import { GrpcTransport } from "../../src/grpc/transport.ts";
import { Node } from "../../src/node/node.ts";
import { type NodeOptions, PIPELINE } from "../../src/node/options.ts";
import { SnapshotTransfers } from "../../src/node/snapshot-transfers.ts";
import { openSqliteStorage } from "../../src/storage/open.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { freePort } from "../support/ports.ts";
import { SNAPSHOT_OPTIONS } from "../support/snapshot-options.ts";

export const MAX_COMMAND_BYTES = 1024 * 1024;
const PROGRESS_INTERVAL_MS = 150;

/** The lines that a node wrote. */
export class RecordedLog implements Log {
  readonly lines: { readonly level: string; readonly event: string; readonly fields: object }[] = [];
  debug = (fields: object, event: string): void => void this.lines.push({ level: "debug", event, fields });
  info = (fields: object, event: string): void => void this.lines.push({ level: "info", event, fields });
  warn = (fields: object, event: string): void => void this.lines.push({ level: "warn", event, fields });
  error = (fields: object, event: string): void => void this.lines.push({ level: "error", event, fields });
}

/** A whole node in this process: real storage, real core, real gRPC on loopback. */
export interface TestNode {
  readonly id: string;
  readonly node: Node;
  readonly storage: Storage;
  readonly snapshots: SnapshotTransfers;
  readonly transport: GrpcTransport;
  readonly listener: Listener;
  readonly client: Client;
  readonly log: RecordedLog;
  readonly fatal: unknown[];
  readonly peerAddress: string;
  stop(): Promise<void>;
}

export interface TestNodeOptions {
  readonly id?: string;
  /** By id; this node's own included. */
  readonly peers?: ReadonlyMap<string, string>;
  readonly clusterId?: string;
  readonly dataDir: string;
  readonly node?: Partial<NodeOptions>;
  readonly door?: { readonly maxConnections?: number; readonly maxStreams?: number };
  readonly progressIntervalMs?: number;
}

/** Bytes a second. */
const SNAPSHOT_RATE = 1024 * 1024 * 1024;

export async function startNode(options: TestNodeOptions): Promise<TestNode> {
  const { id = "n1", clusterId = "test", dataDir } = options;
  const peers = options.peers ?? new Map([[id, `127.0.0.1:${await freePort()}`]]);
  const peerAddress = peers.get(id) ?? "";
  const storage = await openSqliteStorage({ dataDir, nodeId: id, clusterId, bootstrapVoters: [...peers.keys()] });
  const log = new RecordedLog();
  const fatal: unknown[] = [];
  const onFatal = (error: unknown): void => void fatal.push(error);
  const clientAddress = `127.0.0.1:${await freePort()}`;
  const limits = {
    maxCommandBytes: MAX_COMMAND_BYTES,
    maxProposals: 20_000,
    maxProposalBytes: 64 * 1024 * 1024,
    ...options.node,
  };
  const node = new Node(
    {
      id,
      clusterId,
      initialMembers: [...peers].map(([member, address]) => ({ id: member, peerAddress: address })),
      clientAddress,
      peerAddress,
      tickMs: 10,
      // A disk that is slow for so long deposes the leader: other tests may be busy beside this one.
      electionTimeoutMinMs: 1_000,
      electionTimeoutMaxMs: 1_500,
      heartbeatMs: 50,
      proposalTimeoutMs: 5_000,
      ...limits,
      maxReads: 1_000,
      cacheBytes: 16 * 1024 * 1024,
      ...PIPELINE,
      ...SNAPSHOT_OPTIONS,
      ...options.node,
    },
    {
      clock: systemClock,
      random: (bound) => randomInt(bound),
      storage,
      onStateEvent: () => {},
      onInstall: () => {},
      onDiskEvent: () => {},
      onRetentionEvent: () => {},
      onFatal,
    },
  );
  const others = new Map([...peers].filter(([member]) => member !== id));
  const snapshots = new SnapshotTransfers(node, storage.snapshotFiles, (error) => storage.fail(error));
  const transport = new GrpcTransport({
    self: id,
    peers: others,
    handshaker: node.handshaker,
    snapshots,
    snapshotRate: SNAPSHOT_RATE,
    log,
  });
  const shared = { node, transport, clock: systemClock, log, onFatal };
  const peer = await startPeerListener({ ...shared, address: peerAddress, listener: node });
  const listener = await startClientListener({
    ...shared,
    snapshots,
    addresses: [clientAddress],
    version: "0.0.0-test",
    limits: { maxConnections: 1_024, maxStreams: 4_096, ...limits, ...options.door },
    progressIntervalMs: options.progressIntervalMs ?? PROGRESS_INTERVAL_MS,
  });
  transport.start(node);
  node.start(transport);
  const client = connect(clientAddress);
  const stop = async (): Promise<void> => {
    client.close();
    await listener.close(200);
    node.stop();
    transport.close();
    await peer.close(200);
    await snapshots.close();
    await storage.close();
  };
  return { id, node, storage, snapshots, transport, listener, client, log, fatal, peerAddress, stop };
}

export async function makeFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "raft-sidecar-grpc-"));
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

export function connect(address: string): Client {
  return new Client(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
}

/** Resolves with the response, or rejects with the ServiceError. */
export function call<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  deadlineMs = 10_000,
): Promise<MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      create(method.input, request),
      { deadline: Date.now() + deadlineMs },
      (error, response) => (error === null ? resolve(response as MessageShape<O>) : reject(error)),
    );
  });
}

/** The error of a call that is expected to fail. */
export async function failureOf(promise: Promise<unknown>): Promise<ServiceError> {
  try {
    await promise;
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error("the call did not fail");
}

/** A stream's messages as they come, and its end. */
export class Received<T> {
  readonly messages: T[] = [];
  status: StatusObject | undefined;
  readonly #changed = new Set<() => void>();

  constructor(stream: ClientReadableStream<T> | ClientDuplexStream<never, T>) {
    stream.on("data", (message: T) => {
      this.messages.push(message);
      this.#change();
    });
    stream.on("error", () => {});
    stream.on("status", (status: StatusObject) => {
      this.status = status;
      this.#change();
    });
  }

  async until(condition: (messages: readonly T[]) => boolean, timeoutMs = 10_000): Promise<readonly T[]> {
    await this.#wait(() => condition(this.messages), timeoutMs);
    return this.messages;
  }

  async end(timeoutMs = 10_000): Promise<StatusObject> {
    await this.#wait(() => this.status !== undefined, timeoutMs);
    if (this.status === undefined) throw new Error("unreachable");
    return this.status;
  }

  async #wait(condition: () => boolean, timeoutMs: number): Promise<void> {
    const signal = AbortSignal.timeout(timeoutMs);
    while (!condition()) {
      await new Promise<void>((resolve, reject) => {
        this.#changed.add(resolve);
        signal.addEventListener("abort", () =>
          reject(new Error(`waited in vain after ${this.messages.length} messages, status ${this.status?.details}`)),
        );
      });
    }
  }

  #change(): void {
    const waiting = [...this.#changed];
    this.#changed.clear();
    for (const resolve of waiting) resolve();
  }
}

export function openServerStream<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
): ClientReadableStream<MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = definition(method);
  return client.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize as (bytes: Buffer) => MessageShape<O>,
    create(method.input, request),
  );
}

export function openBidi<I extends DescMessage, O extends DescMessage>(
  client: Client,
  method: DescMethodBiDiStreaming<I, O>,
): ClientDuplexStream<MessageShape<I>, MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = definition(method);
  return client.makeBidiStreamRequest(
    path,
    requestSerialize as (message: MessageShape<I>) => Buffer,
    responseDeserialize as (bytes: Buffer) => MessageShape<O>,
  );
}

function definition(method: DescMethod) {
  return methodDefinition(method);
}

export async function eventually(condition: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const until = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > until) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(10);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
