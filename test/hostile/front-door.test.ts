import type { ClientHttp2Session } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { Metadata, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LogService, ProposeResponseSchema } from "../../gen/raft/v1/log_pb.js";
import { OpenStreams } from "../../src/grpc/calls.ts";
import { serviceDefinition } from "../../src/grpc/definition.ts";
import { FrontDoor, type FrontDoorLimits } from "../../src/grpc/front-door.ts";
import { createServer, type Listener, listen } from "../../src/grpc/listener.ts";
import { eventually, RecordedLog, sleep } from "../grpc/support.ts";
import { framed, openSession, RawCall, RawSocket } from "./raw-call.ts";

const WATCH = "/raft.v1.LogService/WatchState";
const PROPOSE = "/raft.v1.LogService/Propose";
const PROPOSE_STREAM = "/raft.v1.LogService/ProposeStream";

let nowMs = 0;
let log: RecordedLog;
let address: string;
let listener: Listener;
let door: FrontDoor;
const sessions: ClientHttp2Session[] = [];

beforeEach(() => {
  nowMs = 0;
  log = new RecordedLog();
});

afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  door.close();
  await listener.close(0);
});

/** A server whose streams stay open and whose unary calls are answered at once. */
async function start(limits: Partial<FrontDoorLimits>): Promise<void> {
  const server = createServer({ keepaliveTimeMs: 30_000, keepaliveTimeoutMs: 10_000 });
  door = new FrontDoor({
    limits: { maxConnections: 100, maxCalls: 100, maxStreams: 100, ...limits },
    leader: () => ({ term: 3, leader: "n1", leaderAddress: "127.0.0.1:1" }),
    log,
    nowMs: () => nowMs,
  });
  door.seeing(server).addService(serviceDefinition(LogService), {
    Propose: (_call: unknown, done: (error: null, response: unknown) => void) =>
      done(null, create(ProposeResponseSchema)),
    WatchState: (call: { sendMetadata(metadata: Metadata): void }) => call.sendMetadata(new Metadata()),
    ProposeStream: (call: { on(event: "data", listener: () => void): void }) => call.on("data", () => {}),
  });
  listener = await listen(server, ["127.0.0.1:0"], new OpenStreams());
  door.guard(server);
  address = listener.addresses[0] ?? "";
}

function open(): ClientHttp2Session {
  const session = openSession(address);
  sessions.push(session);
  return session;
}

function watch(session: ClientHttp2Session): RawCall {
  const watching = new RawCall(session, WATCH);
  void watching.finish();
  return watching;
}

async function isOpen(watching: RawCall): Promise<void> {
  await eventually(() => watching.isServed, "the stream is served");
}

describe("a listener", () => {
  it("refuses streams above its limit with OVERLOADED and says when to try again, until one ends", async () => {
    await start({ maxStreams: 2 });
    const [one, two] = [watch(open()), watch(open())];
    await Promise.all([isOpen(one), isOpen(two)]);
    const end = await watch(open()).ended;
    expect(end).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: "this node serves 2 streams already",
      failure: { reason: "OVERLOADED", retryAfterMs: 1_000, metadata: { limit: "2" } },
    });
    one.cancel();
    await one.ended;
    await eventually(() => log.lines.length > 0, "it is written down");
    await isOpen(watch(open()));
  });

  it("leaves half of its streams to other connections", async () => {
    await start({ maxStreams: 4 });
    const greedy = open();
    const own = [watch(greedy), watch(greedy)];
    for (const one of own) await isOpen(one);
    const end = await watch(greedy).ended;
    expect(end).toMatchObject({
      failure: { reason: "OVERLOADED" },
      details: expect.stringContaining("this connection"),
    });
    await isOpen(watch(open()));
  });

  it("refuses calls above its limit, also those that have sent nothing but their headers", async () => {
    await start({ maxCalls: 3 });
    const session = open();
    const silent = [1, 2, 3].map(() => new RawCall(session, PROPOSE));
    await sleep(100);
    expect(await new RawCall(open(), PROPOSE).finish()).toMatchObject({ failure: { reason: "OVERLOADED" } });
    for (const one of silent) one.cancel();
    await Promise.all(silent.map((one) => one.ended));
    await eventually(() => log.lines.some(({ event }) => event === "refused a call"), "it is written down");
    await sleep(50);
    expect(await new RawCall(session, PROPOSE).finish()).toMatchObject({ code: status.OK });
  });

  it("closes connections above its limit, and writes one line for many", async () => {
    await start({ maxConnections: 3 });
    const sockets = Array.from({ length: 40 }, () => new RawSocket(address));
    await eventually(() => sockets.filter((socket) => socket.isOpen).length === 3, "three are left");
    expect(log.lines.filter(({ event }) => event === "refused a connection")).toHaveLength(1);
    for (const socket of sockets) socket.socket.destroy();
    await sleep(50);
    const later = new RawSocket(address);
    await eventually(() => later.received.length > 0, "the server's settings come");
    later.socket.destroy();
  });
});

describe("a client that sends a byte a second", () => {
  it.each([
    ["a unary call without a message", PROPOSE, Buffer.alloc(0)],
    ["a unary call with half a message", PROPOSE, framed(Buffer.alloc(10)).subarray(0, 9)],
    ["a stream with half a message", PROPOSE_STREAM, framed(Buffer.alloc(10)).subarray(0, 3)],
  ])("is refused after a minute: %s", async (_what, path, bytes) => {
    await start({});
    const slow = new RawCall(open(), path);
    slow.stream.resume();
    slow.stream.write(bytes);
    await sleep(100);
    nowMs += 59_000;
    await sleep(1_500);
    slow.stream.write(Buffer.of(0));
    await sleep(100);
    expect(slow.hasHeaders).toBe(false);
    nowMs += 61_000;
    expect(await slow.ended).toMatchObject({ code: status.INVALID_ARGUMENT, failure: { reason: "INVALID_ARGUMENT" } });
  });

  it("may keep a stream open without a word, once what it has sent is whole", async () => {
    await start({});
    const quiet = new RawCall(open(), PROPOSE_STREAM);
    quiet.stream.write(framed(Buffer.alloc(10)));
    let ended = false;
    void quiet.ended.then(() => {
      ended = true;
    });
    await sleep(100);
    nowMs += 3_600_000;
    await sleep(1_500);
    expect(ended).toBe(false);
  });
});

describe("messages that are never finished", () => {
  it("are kept to 64 MiB in all, and those that would go beyond are refused", { timeout: 60_000 }, async () => {
    await start({});
    const calls: RawCall[] = [];
    for (let i = 0; i < 12; i++) {
      const begun = new RawCall(open(), PROPOSE);
      begun.stream.resume();
      calls.push(begun);
      begun.stream.write(framed(Buffer.alloc(7 * 1024 * 1024), 0, 8 * 1024 * 1024 - 100).subarray(0, 7 * 1024 * 1024));
    }
    const refused = Promise.all(calls.slice(9).map((one) => one.ended));
    const any = await Promise.race(calls.map((one) => one.ended));
    expect(any).toMatchObject({ code: status.RESOURCE_EXHAUSTED, failure: { reason: "OVERLOADED" } });
    for (const one of calls) one.cancel();
    await refused;
    await sleep(100);
    expect(await new RawCall(open(), PROPOSE).finish(Buffer.alloc(0))).toMatchObject({ code: status.OK });
  });
});

it("a stream that the server has ended doesn't last for as long as the client likes", async () => {
  await start({});
  const session = open();
  // No service has this method: it is answered at once, and the client never ends its own side.
  const zombie = new RawCall(session, "/raft.v1.LogService/Nothing");
  zombie.stream.resume();
  let ended = false;
  void zombie.ended.then(() => {
    ended = true;
  });
  await eventually(() => zombie.hasHeaders, "answered");
  await sleep(1_500);
  expect(ended).toBe(false);
  nowMs += 11_000;
  await sleep(1_500);
  expect(ended).toBe(true);
});
