import type { EventEmitter } from "node:events";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, describe, expect, it } from "vitest";
import { failureFrom } from "../../src/grpc/status.ts";
import { proposeItems } from "../support/client.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { until } from "../support/wait.ts";
import { outcomeOf } from "../support/writers.ts";

/** Nobody, whom permissions bind. Only root can become somebody else, and only root has to. */
const UNPRIVILEGED = process.getuid?.() === 0 ? { uid: 65_534 } : {};

afterEach(closeClusters);

/** Changes one bit of the stored entry at `index`. */
function damage(node: ClusterNode, index: number): void {
  const db = new Database(join(node.dataDir, "raft.db"));
  const row = db
    .prepare<[number, number], { first: number; bytes: Buffer }>(
      "SELECT first_index AS first, bytes FROM frames WHERE first_index <= ? AND last_index >= ?",
    )
    .get(index, index);
  if (row === undefined) throw new Error(`no row with ${index}`);
  const bytes = Buffer.from(row.bytes);
  bytes.writeUInt8((bytes.at(-1) ?? 0) ^ 1, bytes.length - 1);
  db.prepare("UPDATE frames SET bytes = ? WHERE first_index = ?").run(bytes, row.first);
  db.close();
}

/** The reason that a stream ends with; "" for one that is none of ours. */
function endOf(stream: EventEmitter): Promise<string> {
  stream.on("error", () => {});
  // Without a reader the end isn't told.
  stream.on("data", () => {});
  return new Promise((resolve) => {
    stream.once("status", (status) => resolve(failureFrom(status)?.reason ?? ""));
  });
}

describe("a damaged row", () => {
  it("ends its node with 74 and the index once it is read, and the others go on", async () => {
    const cluster = await Cluster.create({ size: 3 });
    const leader = await cluster.leader();
    const [node] = cluster.others(leader);
    if (node === undefined) throw new Error("three nodes");
    let damagedIndex = 0;
    for (let i = 0; i < 10; i++) {
      const { index } = await leader.commit(`command ${i}`);
      if (i === 4) damagedIndex = index;
    }
    await cluster.allApplied(damagedIndex);
    await node.stop();
    await node.start();
    // From here on it holds in memory only what is new, and has read the rest for its session table.
    const { index } = await node.commit("after the start");
    await cluster.allApplied(index);
    damage(node, damagedIndex);

    const stream = node.client.apply({});
    const delivered: number[] = [];
    stream.on("data", ({ frame }) => {
      if (frame.case === "batch")
        delivered.push(...frame.value.entries.map((entry: { index: bigint }) => Number(entry.index)));
    });
    const told = endOf(stream);
    expect(await node.process.exited).toBe(74);
    expect(await told).toBe("DATA_LOSS");
    expect(JSON.stringify(node.process.events("the node can't go on"))).toContain(
      `the log is damaged at index ${damagedIndex}`,
    );
    expect(delivered.filter((at) => at >= damagedIndex)).toEqual([]);

    const others = cluster.others(node);
    await cluster.leader(others);
    expect((await leader.commit("without it")).index).toBeGreaterThan(index);
  }, 60_000);

  it("is found at the start where the session table has to be made from it", async () => {
    const cluster = await Cluster.create({ size: 3 });
    const leader = await cluster.leader();
    const [node] = cluster.others(leader);
    if (node === undefined) throw new Error("three nodes");
    const { index } = await leader.commit("damaged");
    await cluster.allApplied((await leader.commit("after it")).index);
    await node.stop();
    damage(node, index);
    expect(await node.launch().exited).toBe(74);
    expect(JSON.stringify(node.process.events("the node can't go on"))).toContain(`damaged at index ${index}`);
    expect((await leader.commit("without it")).index).toBeGreaterThan(index);
  }, 60_000);
});

it("answers whatever waits and ends every stream before it exits with 74", async () => {
  const cluster = await Cluster.create({ size: 1 });
  const node = await cluster.leader();
  const { index: damagedIndex } = await node.commit("damaged");
  await node.commit("after it");
  await node.stop();
  await node.start();
  const { index } = await node.commit("after the start");
  damage(node, damagedIndex);

  const disk = new Database(join(node.dataDir, "raft.db"));
  disk.exec("BEGIN IMMEDIATE");
  const { client } = node;
  const inFlight = (count: number): Promise<unknown> =>
    until(`${count} in flight`, async () => (await client.status()).proposalsInFlight === count);
  const proposed: Promise<unknown>[] = [];
  // Two are appended, and wait for the disk as it is held; the third waits for its turn.
  for (const command of ["first", "second", "third"]) {
    proposed.push(client.propose(command).catch(outcomeOf));
    await inFlight(proposed.length);
    await until("two are appended", async () => (await node.state())?.last === index + Math.min(proposed.length, 2));
  }
  const stream = client.proposeStream();
  const results: string[] = [];
  stream.on("data", (response) => {
    for (const { outcome } of response.results) results.push(outcome.value?.reason ?? outcome.case);
  });
  stream.write(proposeItems([{ requestId: 1, command: "fourth" }]));
  await inFlight(4);
  // The last one reads the damaged row.
  const ends = [endOf(stream), endOf(client.watch()), endOf(client.apply({}))];

  const unknown = { kind: "unknown", why: "OUTCOME_UNKNOWN" };
  const refused = { kind: "refused", reason: "DATA_LOSS" };
  expect(await Promise.all(proposed)).toEqual([unknown, unknown, refused]);
  expect(await Promise.all(ends)).toEqual(["DATA_LOSS", "DATA_LOSS", "DATA_LOSS"]);
  expect(results).toEqual(["DATA_LOSS"]);
  disk.close();
  expect(await node.process.exited).toBe(74);
}, 60_000);

describe("a data directory that can't be written", () => {
  it.each(["read-only", "missing in a read-only folder"])("ends a node with 74 and what to do: %s", async (kind) => {
    const cluster = await Cluster.create({ size: 1, stopped: true });
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error("one node");
    chmodSync(cluster.folder, 0o755);
    mkdirSync(node.dataDir);
    chmodSync(node.dataDir, 0o555);
    const dataDir = kind === "read-only" ? node.dataDir : join(node.dataDir, "below");
    node.flags = [...node.flags, "--data-dir", dataDir];
    const refused = node.launch(UNPRIVILEGED);
    const code = await refused.exited;
    expect(refused.stderr).toMatch(/EACCES/);
    expect(refused.stderr).toContain(dataDir);
    expect(code).toBe(74);
    await until("nothing is left", () => !node.isRunning);
  });

  it("does no harm while a node runs that has its files open, and is told at the next start", async () => {
    const cluster = await Cluster.create({ size: 1, stopped: true });
    const node = cluster.node("n1");
    chmodSync(cluster.folder, 0o777);
    await node.start(UNPRIVILEGED);
    await node.commit("before");
    chmodSync(node.dataDir, 0o555);
    await node.commit("while it is read-only");
    expect(await node.stop()).toBe(0);

    const refused = node.launch(UNPRIVILEGED);
    expect(await refused.exited).toBe(74);
    expect(refused.stderr).toMatch(/the data directory is not writable: .*EACCES.*Make it and its files writable/);
    chmodSync(node.dataDir, 0o755);
    await node.start(UNPRIVILEGED);
    const found = (await node.client.readLog()).map(({ command }) => command);
    expect(found).toEqual(["before", "while it is read-only"]);
  });
});
