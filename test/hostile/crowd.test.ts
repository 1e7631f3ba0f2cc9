import { readFileSync } from "node:fs";
import type { ClientHttp2Session } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterEach, expect, it } from "vitest";
import { ApplyStreamRequestSchema } from "../../gen/raft/v1/log_pb.js";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { sleep, until } from "../support/wait.ts";
import { openSession, RawCall, RawSocket } from "./raw-call.ts";

/** Real processes, and more of everything than anybody needs. What it costs them is measured from outside. */
const MIB = 2 ** 20;
const PAGE_BYTES = 4_096;
const APPLY = "/raft.v1.LogService/ApplyStream";
const WATCH = "/raft.v1.LogService/WatchState";

/** Fewer than the 511 connections that may wait to be accepted: what the kernel drops beyond, its client holds for open. */
const WAVE = 250;

const sockets: RawSocket[] = [];
const sessions: ClientHttp2Session[] = [];

afterEach(async () => {
  for (const { socket } of sockets.splice(0)) socket.destroy();
  for (const session of sessions.splice(0)) session.destroy();
  await closeClusters();
});

async function one(flags: readonly string[] = []): Promise<ClusterNode> {
  const cluster = await Cluster.create({ size: 1, flags });
  return cluster.leader();
}

function residentMib(node: ClusterNode): number {
  const [, resident] = readFileSync(`/proc/${node.process.pid}/statm`, "utf8").split(" ");
  return (Number(resident) * PAGE_BYTES) / MIB;
}

function open(node: ClusterNode): ClientHttp2Session {
  const session = openSession(node.client.address);
  sessions.push(session);
  return session;
}

function isWell(node: ClusterNode): void {
  expect(node.isRunning).toBe(true);
  expect(node.process.stderr).toBe("");
  expect(node.lines.filter(({ level }) => Number(level) >= 50)).toEqual([]);
}

it("10,000 idle connections: 1,024 are held, the others closed, and who was there before is served", {
  timeout: 60_000,
}, async () => {
  const node = await one();
  await node.commit("before");
  const before = residentMib(node);
  for (let sent = 0; sent < 10_000; sent += WAVE) {
    const wave = Array.from({ length: WAVE }, () => new RawSocket(node.client.address));
    sockets.push(...wave);
    await until("the wave is over", () => wave.every(({ isOpen, received }) => !isOpen || received.length > 0));
    expect(sockets.filter((socket) => socket.isOpen).length).toBeLessThanOrEqual(1_024);
  }
  const held = sockets.filter((socket) => socket.isOpen).length;
  expect(held).toBeGreaterThan(1_000);
  expect(residentMib(node) - before).toBeLessThan(150);
  await node.client.propose("meanwhile");
  expect(node.process.events("refused a connection").length).toBeGreaterThan(0);
  expect(node.process.events("refused a connection").length).toBeLessThan(10);
  for (const { socket } of sockets.splice(0)) socket.destroy();
  await until("there is room again", async () => {
    const later = new RawSocket(node.client.address);
    await sleep(50);
    later.socket.destroy();
    return later.received.length > 0;
  });
  isWell(node);
});

it("10,000 idle streams: as many as there may be are served, the others refused with OVERLOADED", {
  timeout: 60_000,
}, async () => {
  const node = await one();
  await node.commit("before");
  const before = residentMib(node);
  const calls: RawCall[] = [];
  const codes = new Map<string, number>();
  for (let connection = 0; connection < 5; connection++) {
    const session = open(node);
    for (let i = 0; i < 2_000; i++) {
      const watching = new RawCall(session, WATCH);
      calls.push(watching);
      void watching.ended.then(({ code, failure }) => {
        const key = `${code} ${failure?.reason} ${failure?.retryAfterMs}`;
        codes.set(key, (codes.get(key) ?? 0) + 1);
      });
      void watching.finish();
    }
    await until("all are answered", () => calls.every((watching) => watching.hasHeaders), 30_000);
  }
  await until(
    "the refused ones have ended",
    () => (codes.get(`${status.RESOURCE_EXHAUSTED} OVERLOADED 1000`) ?? 0) >= 5_904,
  );
  expect([...codes]).toEqual([[`${status.RESOURCE_EXHAUSTED} OVERLOADED 1000`, 5_904]]);
  // 4,096 streams, of some 30 KiB each.
  expect(residentMib(node) - before).toBeLessThan(300);
  await node.client.propose("meanwhile");
  expect(node.process.events("refused a call").length).toBeLessThan(10);
  isWell(node);
});

it("a client that never reads costs its streams' bounds, however long the log is", { timeout: 60_000 }, async () => {
  const node = await one(["--cache-bytes", String(MIB)]);
  const command = "x".repeat(512 * 1024);
  for (let i = 0; i < 12; i++) await Promise.all(Array.from({ length: 8 }, () => node.client.propose(command)));
  const before = residentMib(node);
  const session = open(node);
  const request = toBinary(ApplyStreamRequestSchema, create(ApplyStreamRequestSchema));
  for (let i = 0; i < 40; i++) {
    const stalled = new RawCall(session, APPLY);
    void stalled.finish(request);
    stalled.stream.pause();
  }
  await sleep(2_000);
  const grown = residentMib(node) - before;
  // Without a bound 40 streams of 48 MiB each would be sent ahead: 1.9 GiB. With it, 2 MiB or 3 a stream.
  expect(grown).toBeLessThan(40 * 4);
  await node.client.propose("meanwhile");
  isWell(node);
});

it("without file descriptors to spare a node says so, leaves some to what matters, and outlives that there are none", {
  timeout: 60_000,
}, async () => {
  const cluster = await Cluster.create({ size: 3, stopped: true });
  // Node takes what the hard limit allows, so it is that which is lowered.
  const wrapper = ["sh", "-c", 'ulimit -n 120; exec "$@"', "sh"];
  await Promise.all(cluster.nodes.map((node) => node.start({ wrapper })));
  const leader = await cluster.leader();
  await leader.commit("before");
  expect(String(leader.process.events("caution")[0]?.["detail"])).toContain("only 16 of --max-connections 1024");
  for (let i = 0; i < 100; i++) sockets.push(new RawSocket(leader.client.address));
  await until("the crowd of clients is refused", () => sockets.filter((socket) => socket.isOpen).length <= 16);
  await leader.client.propose("within the reserve");
  // More than there are descriptors.
  const peers = Array.from({ length: 300 }, () => new RawSocket(leader.peerAddress));
  sockets.push(...peers);
  await until("there are none left", () => peers.filter((socket) => !socket.isOpen).length > 150);
  for (let i = 0; i < 20; i++) await leader.client.propose(`meanwhile ${i}`);
  for (const { socket } of sockets.splice(0)) socket.destroy();
  await until("there is room again", async () => {
    const later = new RawSocket(leader.peerAddress);
    await sleep(50);
    later.socket.destroy();
    return later.received.length > 0;
  });
  for (const node of cluster.nodes) isWell(node);
  expect((await cluster.leader()).id).toBe(leader.id);
});
