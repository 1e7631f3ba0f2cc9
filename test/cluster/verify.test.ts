import { randomBytes } from "node:crypto";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterEach, expect, it } from "vitest";
import { runHere } from "../cli/command.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { putState } from "../support/put-state.ts";
import { until } from "../support/wait.ts";

afterEach(closeClusters);

async function verify(...args: string[]) {
  const { code, stdout, stderr } = await runHere(["verify", "-o", "json", ...args]);
  return { code, stderr, verified: stdout === "" ? [] : JSON.parse(stdout).verified };
}

const addressesOf = (nodes: readonly ClusterNode[]): string => nodes.map(({ client }) => client.address).join(",");

it("nodes agree in what all have committed, running or stopped, cut off or not", async () => {
  const cluster = await Cluster.create({ size: 3, flags: ["--catch-up-entries", "5"] });
  const leader = await cluster.leader();
  for (let i = 0; i < 50; i++) await leader.commit(`command ${i}`);
  await cluster.allApplied(51);
  const all = await verify("--address", addressesOf(cluster.nodes));
  expect(all).toMatchObject({ code: 0, stderr: "" });
  const [{ sha256 }] = all.verified;
  expect(all.verified).toMatchObject([1, 2, 3].map(() => ({ first: 1, snapshot: 0, sha256 })));
  const { index } = await putState(leader.client.address, { index: 40, term: 0, format: "f" }, randomBytes(10_000));
  for (const node of cluster.nodes) {
    await until("it begins later", async () => Number((await node.client.status()).state?.firstIndex) === index - 4);
  }
  const later = await verify("--address", addressesOf(cluster.nodes), "--to", "51");
  expect(later).toMatchObject({ code: 0 });
  const [first] = later.verified;
  expect(later.verified).toMatchObject(
    [1, 2, 3].map(() => ({ first: 36, last: 51, snapshot: 40, sha256: first.sha256 })),
  );
  const [stopped] = cluster.others(leader) as [ClusterNode];
  const inUse = await verify("--data-dir", stopped.dataDir);
  expect(inUse).toMatchObject({ code: 1, stderr: expect.stringContaining("in use by another process") });
  await stopped.stop();
  const offline = await verify("--data-dir", stopped.dataDir, "--to", "51");
  expect(offline).toMatchObject({ code: 0, verified: [{ first: 36, last: 51, snapshot: 40, sha256: first.sha256 }] });
  expect(await verify("--address", leader.client.address, "--from", "2")).toMatchObject({
    code: 0,
    verified: [{ first: 36 }],
  });
  const beyond = await verify("--address", leader.client.address, "--to", "1000");
  expect(beyond).toMatchObject({ code: 1, stderr: expect.stringContaining("end_index") });
}, 60_000);

it("a directory that is damaged is found so, and left as it is", async () => {
  const cluster = await Cluster.create({ size: 1 });
  const node = cluster.node("n1");
  await cluster.leader();
  for (let i = 0; i < 20; i++) await node.commit(`command ${i}`);
  await putState(node.client.address, { index: 10, term: 0, format: "f" }, randomBytes(1_000));
  await node.stop();
  expect(await verify("--data-dir", node.dataDir)).toMatchObject({ code: 0 });
  expect(await verify("--data-dir", cluster.folder)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("is no data directory"),
  });
  const db = new SqliteDatabase(join(node.dataDir, "raft.db"));
  const { at, bytes } = db.prepare("SELECT first_index AS at, bytes FROM frames WHERE first_index > 5").get() as {
    at: number;
    bytes: Buffer;
  };
  const altered = Buffer.from(bytes);
  altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
  const write = db.prepare("UPDATE frames SET bytes = ? WHERE first_index = ?");
  write.run(altered, at);
  expect(await verify("--data-dir", node.dataDir)).toMatchObject({
    code: 74,
    stderr: expect.stringContaining(`the log is damaged at index ${at}`),
  });
  write.run(bytes, at);
  db.close();
  await truncate(join(node.dataDir, "snapshots", "10-1"), 999);
  expect(await verify("--data-dir", node.dataDir)).toMatchObject({
    code: 74,
    stderr: expect.stringContaining("it has another size"),
  });
}, 60_000);

it("a running node reads all its snapshots, and ends when one of them was altered", async () => {
  const cluster = await Cluster.create({ size: 1 });
  const node = cluster.node("n1");
  await cluster.leader();
  for (let i = 0; i < 20; i++) await node.commit(`command ${i}`);
  for (const index of [10, 20]) {
    await putState(node.client.address, { index, term: 0, format: "f" }, randomBytes(1_000));
  }
  expect(await verify("--address", node.client.address)).toMatchObject({ code: 0, verified: [{ snapshot: 20 }] });
  await writeFile(join(node.dataDir, "snapshots", "10-1"), randomBytes(1_000));
  expect(await verify("--address", node.client.address)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("storage failed"),
  });
  expect(await node.process.exited).toBe(74);
}, 60_000);
