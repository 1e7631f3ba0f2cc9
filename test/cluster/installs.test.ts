import { randomBytes } from "node:crypto";
import { afterEach, expect, it } from "vitest";
import type { ApplyStreamResponse } from "../../gen/raft/v1/log_pb.js";
import type { SnapshotView } from "../../src/grpc/snapshot-client.ts";
import { runHere } from "../cli/command.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { putState } from "../support/put-state.ts";
import { until } from "../support/wait.ts";

const MIB = 1024 * 1024;
const FORMAT = "kv/1";

afterEach(closeClusters);

/** What a subscriber of `node` that has nothing is sent, until it has a command after the snapshot. */
async function subscribe(
  node: ClusterNode,
  formats: string[],
): Promise<{ kinds: string[]; state: Buffer; next: number }> {
  const stream = node.client.apply({ start: { case: "afterIndex", value: 0n }, snapshotFormats: formats });
  const kinds: string[] = [];
  const chunks: Uint8Array[] = [];
  try {
    for await (const { frame } of stream as AsyncIterable<ApplyStreamResponse>) {
      if (kinds.at(-1) !== frame.case) kinds.push(frame.case ?? "");
      if (frame.case === "snapshotChunk") chunks.push(frame.value);
      if (frame.case !== "batch") continue;
      return { kinds, state: Buffer.concat(chunks), next: Number(frame.value.prevIndex) };
    }
  } finally {
    stream.cancel();
  }
  throw new Error(`the stream ended after ${kinds}`);
}

/** Puts a state as of what `node` has applied. */
async function put(node: ClusterNode, state: Buffer): Promise<SnapshotView> {
  const { applied } = (await node.state()) ?? { applied: 0 };
  return putState(node.client.address, { index: applied, term: 0, format: FORMAT }, state);
}

async function firstOf(node: ClusterNode): Promise<number> {
  return Number((await node.client.status()).state?.firstIndex);
}

it("one upload is enough: all cut off their logs, and who was away goes on from it, as do its subscribers", async () => {
  const cluster = await Cluster.create({ size: 3, flags: ["--catch-up-entries", "5", "--snapshot-entries", "50"] });
  const leader = await cluster.leader();
  const [putter, away] = cluster.others(leader) as [ClusterNode, ClusterNode];
  await leader.commit("before");
  await cluster.allApplied(2);
  await away.kill();
  for (let i = 0; i < 100; i++) await leader.client.propose(`command ${i}`);
  await cluster.allApplied(102, [leader, putter]);
  const state = randomBytes(3 * MIB + 1);
  const { index } = await put(putter, state);
  for (const node of [leader, putter]) {
    await until(`${node.id} begins later`, async () => (await firstOf(node)) === index - 4);
    expect((await node.client.status()).snapshot).toMatchObject({ index: BigInt(index), size: BigInt(state.length) });
  }
  await away.start();
  const { index: last } = await leader.client.propose("after");
  await cluster.allApplied(last);
  expect(await firstOf(away)).toBe(index + 1);
  expect(away.lines.filter(({ event }) => event === "took over a snapshot")).toMatchObject([{ index }]);
  for (const node of cluster.nodes) {
    const sent = await subscribe(node, ["other/1", FORMAT]);
    expect(sent.kinds).toEqual(["header", "snapshot", "snapshotChunk", "batch"]);
    expect(sent.state.equals(state)).toBe(true);
    expect(sent.next).toBe(index);
    await expect(subscribe(node, ["other/1"])).rejects.toMatchObject({
      details: expect.stringContaining(`the newest snapshot is in the format ${FORMAT}`),
    });
  }
  for (const node of cluster.nodes) await node.kill();
  for (const node of cluster.nodes) node.launch();
  await cluster.leader();
  const { index: later } = await leader.commit("much later");
  await cluster.allApplied(later);
  const compact = ["compact", "--keep-entries", "0", "--address", putter.client.address, "-o", "json"];
  expect(JSON.parse((await runHere(compact)).stdout)).toEqual({ first: index + 1 });
  const status = await runHere(["status", "--address", putter.client.address, "-o", "json"]);
  expect(JSON.parse(status.stdout).nodes).toHaveLength(3);
  for (const node of JSON.parse(status.stdout).nodes) expect(node).toMatchObject({ snapshot: index });
}, 90_000);

it("a snapshot that is cut off five times on its way goes on where it was", async () => {
  const flags = ["--catch-up-entries", "0", "--snapshot-rate", String(4 * MIB)];
  const cluster = await Cluster.create({ size: 3, proxied: true, flags });
  const leader = await cluster.leader();
  const [away, other] = cluster.others(leader) as [ClusterNode, ClusterNode];
  await away.kill();
  for (let i = 0; i < 20; i++) await leader.commit(`command ${i}`);
  const state = randomBytes(16 * MIB);
  const { index } = await put(leader, state);
  await until("the other has it", async () => Number((await other.client.status()).snapshot?.index) === index);
  await until("the leader begins later", async () => (await firstOf(leader)) === index + 1);
  await away.start();
  const received: number[] = [];
  for (let cut = 1; cut <= 5; cut++) {
    await until(`some more has come by cut ${cut}, after ${received}`, async () => {
      const pull = (await away.client.status()).snapshotPull;
      if (pull === undefined || Number(pull.receivedBytes) < cut * 2 * MIB) return false;
      received.push(Number(pull.receivedBytes));
      return true;
    });
    for (const node of [leader, other]) cluster.link(away, node).set("cut");
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const node of [leader, other]) cluster.link(away, node).set("open");
  }
  // What had come was kept: it only ever grew.
  expect(received).toEqual(received.toSorted((a, b) => a - b));
  await until("it is there", async () => Number((await away.client.status()).snapshot?.index) === index);
  const { index: last } = await leader.commit("after");
  await cluster.allApplied(last);
  expect((await subscribe(away, [FORMAT])).state.equals(state)).toBe(true);
  expect(away.lines.filter(({ event }) => event === "could not take over a snapshot")).toEqual([]);
}, 90_000);

it("a snapshot whose member is stopped and started again goes on where it was", async () => {
  const flags = ["--catch-up-entries", "0", "--snapshot-rate", String(4 * MIB)];
  const cluster = await Cluster.create({ size: 3, flags });
  const leader = await cluster.leader();
  const [away, other] = cluster.others(leader) as [ClusterNode, ClusterNode];
  await away.kill();
  for (let i = 0; i < 20; i++) await leader.commit(`command ${i}`);
  const state = randomBytes(16 * MIB);
  const { index } = await put(leader, state);
  await until("the leader begins later", async () => (await firstOf(leader)) === index + 1);
  await away.start();
  const received = async (): Promise<number> => Number((await away.client.status()).snapshotPull?.receivedBytes ?? 0);
  await until("some has come", async () => (await received()) >= 4 * MIB);
  await other.kill();
  expect(await leader.stop()).toBe(0);
  const before = await received();
  expect(before).toBeGreaterThanOrEqual(4 * MIB);
  await leader.start();
  await until("more has come", async () => (await received()) > before);
  await until("it is there", async () => Number((await away.client.status()).snapshot?.index) === index);
  expect(away.lines.filter(({ event }) => event === "could not take over a snapshot")).toEqual([]);
  const { index: last } = await leader.commit("after");
  await cluster.allApplied(last, [leader, away]);
  expect((await subscribe(away, [FORMAT])).state.equals(state)).toBe(true);
}, 90_000);
