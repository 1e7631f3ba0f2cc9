import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client, type ClientDuplexStream, Server, ServerCredentials, status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  AppendEntriesRequestSchema,
  type AppendEntriesResponse,
  type ForwardRequest,
  ForwardRequestSchema,
  type ForwardResponse,
  ForwardResponseSchema,
  HandshakeSchema,
  RaftService,
} from "../../gen/raft/v1/raft_pb.js";
import { serviceDefinition } from "../../src/grpc/definition.ts";
import { failureFrom } from "../../src/grpc/status.ts";
import { GrpcTransport } from "../../src/grpc/transport.ts";
import type { Handshake } from "../../src/node/handshake.ts";
import type { ForwardOutcome } from "../../src/node/transport.ts";
import { freePort } from "../support/ports.ts";
import {
  call,
  connect,
  failureOf,
  makeFolder,
  openBidi,
  Received,
  RecordedLog,
  removeFolder,
  sleep,
  startNode,
  type TestNode,
} from "./support.ts";

/** The node under test is n1 of n1 and n2; the test plays n2. */
let folder: string;
let sidecar: TestNode;
let client: Client;
let otherAddress: string;
const streams: ClientDuplexStream<never, unknown>[] = [];

beforeAll(async () => {
  folder = await makeFolder();
  otherAddress = `127.0.0.1:${await freePort()}`;
  const peers = new Map([
    ["n1", `127.0.0.1:${await freePort()}`],
    ["n2", otherAddress],
  ]);
  sidecar = await startNode({ dataDir: folder, peers });
  client = connect(sidecar.peerAddress);
});

afterEach(() => {
  for (const stream of streams.splice(0)) stream.cancel();
});

afterAll(async () => {
  client.close();
  await sidecar.stop();
  await removeFolder(folder);
});

/** What n2 would say. */
function handshake(changes: Partial<Handshake> = {}) {
  const { sender, addressee, ...own } = sidecar.node.handshaker.introduce("n2");
  const said = { ...own, incarnation: Buffer.alloc(16, 2), sender: addressee, addressee: sender, ...changes };
  return create(HandshakeSchema, { ...said, senderId: said.sender, addresseeId: said.addressee });
}

type AppendInit = MessageInitShape<typeof AppendEntriesRequestSchema>;

function append(...messages: AppendInit[]): Received<AppendEntriesResponse> {
  const stream = openBidi(client, RaftService.method.appendEntries);
  streams.push(stream as never);
  for (const message of messages) stream.write(create(AppendEntriesRequestSchema, message));
  return new Received(stream as never);
}

const HEARTBEAT = { term: 1n, leaderId: "n2", sequence: 1n };

describe("AppendEntries from another node", () => {
  it("is answered with this node's own handshake first", async () => {
    const received = append({ handshake: handshake() });
    const [first] = await received.until((messages) => messages.length === 1);
    expect(first?.handshake).toMatchObject({ senderId: "n1", addresseeId: "n2", clusterId: "test" });
    expect(first?.handshake?.incarnation).toHaveLength(16);
  });

  it.each<[string, AppendInit]>([
    ["entries with a gap", { ...HEARTBEAT, entries: [entry(1), entry(3)] }],
    ["entries that do not follow prev_log_index", { ...HEARTBEAT, prevLogIndex: 7n, entries: [entry(1)] }],
    ["an unknown entry type", { ...HEARTBEAT, entries: [{ ...entry(1), type: 9 as never }] }],
    ["a term of 2^53 - 1", { ...HEARTBEAT, term: 2n ** 53n - 1n }],
    ["a term of 2^64 - 1", { ...HEARTBEAT, term: 2n ** 64n - 1n }],
    ["term 0", { ...HEARTBEAT, term: 0n }],
    ["another leader than the sender", { ...HEARTBEAT, leaderId: "n3" }],
  ])("with %s ends the stream with INVALID_ARGUMENT, and nothing is adopted", async (_what, message) => {
    const before = sidecar.node.state();
    const end = await append({ handshake: handshake() }, message).end();
    expect(end.code).toBe(status.INVALID_ARGUMENT);
    expect(failureFrom(end)?.reason).toBe("INVALID_ARGUMENT");
    expect(sidecar.node.state()).toMatchObject({ term: before.term, last: before.last });
    expect(sidecar.fatal).toEqual([]);
  });

  it("without a handshake is refused", async () => {
    expect((await append(HEARTBEAT).end()).code).toBe(status.INVALID_ARGUMENT);
  });

  it("that is no message at all ends the stream with INVALID_ARGUMENT", async () => {
    const bytes = (value: Buffer): Buffer => value;
    const stream = client.makeBidiStreamRequest("/raft.v1.RaftService/AppendEntries", bytes, bytes);
    const received = new Received(stream as never);
    stream.write(Buffer.from([0x1a, 0x7f, 0x01]));
    expect((await received.end()).code).toBe(status.INVALID_ARGUMENT);
  });

  it.each<[string, Partial<Handshake>, status, string]>([
    ["another cluster", { clusterId: "other" }, status.PERMISSION_DENIED, "CLUSTER_MISMATCH"],
    ["an unknown sender", { sender: "n9" }, status.PERMISSION_DENIED, "UNKNOWN_PEER"],
    ["another addressee", { addressee: "n3" }, status.PERMISSION_DENIED, "UNKNOWN_PEER"],
    ["other bootstrap voters", { bootstrapDigest: Buffer.alloc(32) }, status.PERMISSION_DENIED, "CLUSTER_MISMATCH"],
    ["an emptied directory", { incarnation: Buffer.alloc(16, 9) }, status.PERMISSION_DENIED, "INCARNATION_MISMATCH"],
    ["a later protocol only", { protocolMin: 7, protocolMax: 9 }, status.FAILED_PRECONDITION, "PROTOCOL_MISMATCH"],
  ])("with the handshake of %s is refused", async (_what, changes, code, reason) => {
    await append({ handshake: handshake() }).until((messages) => messages.length === 1);
    const end = await append({ handshake: handshake(changes) }).end();
    expect(end.code).toBe(code);
    expect(failureFrom(end)?.reason).toBe(reason);
  });

  it("on a newer stream of the same sender ends the older one", async () => {
    const older = append({ handshake: handshake() });
    await older.until((messages) => messages.length === 1);
    const newer = append({ handshake: handshake() });
    await newer.until((messages) => messages.length === 1);
    expect((await older.end()).code).toBe(status.OK);
    await sleep(50);
    expect(newer.status).toBeUndefined();
  });
});

describe("RequestVote from another node", () => {
  const vote = { term: 1n, candidateId: "n2" };

  it("with a refused handshake, another candidate, or a term out of range is refused", async () => {
    const { requestVote } = RaftService.method;
    const stranger = await failureOf(call(client, requestVote, { ...vote, handshake: handshake({ clusterId: "x" }) }));
    expect(failureFrom(stranger)?.reason).toBe("CLUSTER_MISMATCH");
    for (const bad of [{ candidateId: "n3" }, { term: 0n }, { term: 2n ** 53n - 1n }, { lastLogIndex: 2n ** 60n }]) {
      const error = await failureOf(call(client, requestVote, { ...vote, ...bad, handshake: handshake() }));
      expect(failureFrom(error)?.reason).toBe("INVALID_ARGUMENT");
    }
    expect(sidecar.node.state().term).toBe(0);
  });

  it("that the node does not answer ends with the caller's deadline and leaves nothing", async () => {
    // It has not met n2 on a connection of its own, so it doesn't vote.
    const request = { ...vote, handshake: handshake() };
    const error = await failureOf(call(client, RaftService.method.requestVote, request, 200));
    expect(error.code).toBe(status.DEADLINE_EXCEEDED);
  });
});

describe("Forward", () => {
  it("of a follower that this node doesn't lead is refused item by item, and the stream stays open", async () => {
    const stream = openBidi(client, RaftService.method.forward);
    streams.push(stream as never);
    const received = new Received<ForwardResponse>(stream as never);
    stream.write(create(ForwardRequestSchema, { handshake: handshake() }));
    for (const id of [1n, 2n]) {
      const value = { commands: [Buffer.from("x")] };
      stream.write(create(ForwardRequestSchema, { id, term: 1n, request: { case: "proposals", value } }));
    }
    const messages = await received.until((all) => all.length === 3);
    expect(messages.slice(1).map(({ id, outcome }) => [id, outcome.case])).toEqual([
      [1n, "error"],
      [2n, "error"],
    ]);
    expect(received.status).toBeUndefined();
  });

  it("never sent when nobody listens there", async () => {
    const outcomes = await forwardTo(`127.0.0.1:${await freePort()}`, 2);
    expect(outcomes).toEqual([{ kind: "notSent" }, { kind: "notSent" }]);
  });

  it("answered, refused and lost requests are told apart, in the order in which they were sent", async () => {
    const seen: bigint[] = [];
    const leader = await playLeader((stream, request) => {
      seen.push(request.id);
      if (seen.length === 1) {
        const value = { index: 7n, term: 3n };
        stream.write(create(ForwardResponseSchema, { id: request.id, outcome: { case: "committed", value } }));
      } else if (seen.length === 2) {
        const value = { code: status.UNAVAILABLE, reason: "NOT_APPENDED", message: "full" };
        stream.write(create(ForwardResponseSchema, { id: request.id, outcome: { case: "error", value } }));
      } else if (seen.length === 4) stream.end();
    });
    const outcomes = await forwardTo(leader.address, 4);
    leader.server.forceShutdown();
    expect(seen).toEqual([1n, 2n, 3n, 4n]);
    expect(outcomes[0]).toEqual({ kind: "committed", first: { index: 7, term: 3 } });
    expect(outcomes[1]).toMatchObject({ kind: "failed", failure: { reason: "NOT_APPENDED" } });
    expect(outcomes.slice(2)).toEqual([{ kind: "lost" }, { kind: "lost" }]);
  });

  it("beyond 1,024 for one leader is refused with OVERLOADED, and never sent", async () => {
    let seen = 0;
    const leader = await playLeader((stream) => {
      if (++seen === 1_024) stream.end();
    });
    const outcomes = await forwardTo(leader.address, 1_030);
    leader.server.forceShutdown();
    expect(seen).toBe(1_024);
    expect(outcomes.slice(0, 1_024).filter(({ kind }) => kind !== "lost")).toEqual([]);
    for (const outcome of outcomes.slice(1_024)) {
      expect(outcome).toMatchObject({ kind: "failed", failure: { reason: "OVERLOADED", retryAfterMs: 50 } });
    }
  });
});

/** Forwards `count` proposals of n1 to n2 at `address`. */
async function forwardTo(address: string, count: number): Promise<ForwardOutcome[]> {
  const transport = new GrpcTransport({
    self: "n1",
    peers: new Map([["n2", address]]),
    handshaker: sidecar.node.handshaker,
    snapshots: sidecar.snapshots,
    snapshotRate: 1,
    log: new RecordedLog(),
  });
  const nothing = (): void => {};
  const deaf = { onForward: nothing, onUnreachable: nothing, onRefused: nothing, onReachable: nothing };
  transport.start({ ...deaf, onMessage: () => undefined });
  const request = { kind: "propose", term: 3, commands: [Buffer.from("x")] } as const;
  const outcomes = Array.from(
    { length: count },
    () => new Promise<ForwardOutcome>((resolve) => transport.forward("n2", request, resolve)),
  );
  const all = await Promise.all(outcomes);
  transport.close();
  return all;
}

type ForwardCall = { write(message: ForwardResponse): void; end(): void };

/** A server that accepts handshakes as n2, and does with forwarded requests what the test says. */
async function playLeader(onRequest: (stream: ForwardCall, request: ForwardRequest) => void) {
  const server = new Server();
  server.addService(serviceDefinition(RaftService), {
    Forward: (stream: ForwardCall & { on(event: "data", listener: (request: ForwardRequest) => void): void }) => {
      stream.on("data", (request) => {
        if (request.handshake !== undefined) {
          stream.write(create(ForwardResponseSchema, { handshake: handshake() }));
        } else onRequest(stream, request);
      });
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { server, address: `127.0.0.1:${port}` };
}

function entry(index: number) {
  return { index: BigInt(index), term: 1n, type: 1, command: Buffer.from("x") };
}
