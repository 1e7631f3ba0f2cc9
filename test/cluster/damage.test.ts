import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, describe, expect, it } from "vitest";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { until } from "../support/wait.ts";

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
    damage(node, damagedIndex);
    await node.start();
    // It takes part: nothing has read the row yet.
    const { index } = await node.commit("after the damage");

    const stream = node.client.apply({});
    const delivered: number[] = [];
    stream.on("data", ({ frame }) => {
      if (frame.case === "batch")
        delivered.push(...frame.value.entries.map((entry: { index: bigint }) => Number(entry.index)));
    });
    stream.on("error", () => {});
    expect(await node.process.exited).toBe(74);
    expect(JSON.stringify(node.process.events("the node can't go on"))).toContain(
      `the log is damaged at index ${damagedIndex}`,
    );
    expect(delivered.filter((at) => at >= damagedIndex)).toEqual([]);

    const others = cluster.others(node);
    await cluster.leader(others);
    expect((await leader.commit("without it")).index).toBeGreaterThan(index);
  }, 60_000);
});

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
});
