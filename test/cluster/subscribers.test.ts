import { existsSync, readFileSync } from "node:fs";
import { type ClientHttp2Session, connect } from "node:http2";
import { afterEach, expect, it } from "vitest";
import type { LogEntry } from "../support/client.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { Subscriber } from "../support/subscriber.ts";
import { until } from "../support/wait.ts";
import { Writers } from "../support/writers.ts";

const MIB = 1024 * 1024;

const sessions: ClientHttp2Session[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  await closeClusters();
});

it("delivers only what a node finds again alone after kill -9", async () => {
  const cluster = await Cluster.create({ size: 3, proxied: true });
  const writers = new Writers(cluster.clients, { unary: 1, streams: 3 });
  for (let round = 0; round < 3; round++) {
    await writers.history.progress(100);
    const leader = await cluster.leader();
    // Once the leader itself, otherwise a follower.
    const victim = round === 1 ? leader : (cluster.others(leader)[0] ?? leader);
    const reader = new Subscriber([victim.client]);
    await until("entries are delivered", () => reader.entries.length >= 100 * (round + 1));
    await victim.kill();
    await reader.close();
    const delivered = reader.entries.slice();
    cluster.isolate([victim]);
    await victim.start();
    const log = await victim.client.readLog();
    expect(lastOf(delivered).index).toBeLessThanOrEqual(lastOf(log).index);
    expect(log.filter(({ index }) => index <= lastOf(delivered).index)).toEqual(delivered);
    cluster.heal();
  }
  await writers.stop();
}, 90_000);

function lastOf(entries: readonly LogEntry[]): LogEntry {
  const last = entries.at(-1);
  if (last === undefined) throw new Error("no entries");
  return last;
}

/** Opens an ApplyStream from the first command on, and never reads what comes. */
function subscribeWithoutReading(node: ClusterNode): void {
  const session = connect(`http://${node.client.address}`);
  session.on("error", () => {});
  sessions.push(session);
  const stream = session.request({
    ":method": "POST",
    ":path": "/raft.v1.LogService/ApplyStream",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  // An empty message: uncompressed, of length 0.
  stream.end(Buffer.alloc(5));
}

function residentBytes(node: ClusterNode): number {
  const kib = /VmRSS:\s+([0-9]+) kB/.exec(readFileSync(`/proc/${node.process.pid}/status`, "utf8"))?.[1];
  return Number(kib) * 1024;
}

it.skipIf(!existsSync("/proc/self/status"))(
  "spends a bounded amount of memory on subscribers that don't read, and delays no other",
  async () => {
    const cluster = await Cluster.create({ size: 3, flags: ["--cache-bytes", String(MIB)] });
    const leader = await cluster.leader();
    const [node] = cluster.others(leader);
    if (node === undefined) throw new Error("three nodes");
    const command = "x".repeat(MIB / 4);
    const write = async (mebibytes: number): Promise<number> => {
      let last = 0;
      for (let written = 0; written < mebibytes * 4; written += 8) {
        const ids = await Promise.all(Array.from({ length: 8 }, () => leader.commit(command)));
        last = Math.max(last, ...ids.map(({ index }) => index));
      }
      return last;
    };
    // What a node needs for this load anyhow.
    const reader = new Subscriber([node.client]);
    await reader.reaches(await write(32));
    const before = residentBytes(node);

    for (let i = 0; i < 6; i++) subscribeWithoutReading(node);
    await until("all subscribers are there", async () => (await node.client.status()).applyStreams === 7);
    const last = await write(48);
    await reader.reaches(last);
    expect(reader.violations).toEqual([]);
    // Kept for each of the six it would be 480 MiB. Garbage goes when something comes after it: an idle node makes none.
    let growth = 0;
    await until(
      () => `the memory stays bounded: it grew by ${Math.round(growth / MIB)} MiB`,
      async () => {
        await leader.commit("y".repeat(1_000));
        growth = residentBytes(node) - before;
        return growth < 32 * MIB;
      },
    );
    expect((await node.client.status()).applyStreams).toBe(7);
    await reader.close();
  },
  90_000,
);
