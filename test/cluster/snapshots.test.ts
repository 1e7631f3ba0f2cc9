import { createHash, randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { SidecarClient } from "../../src/grpc/client.ts";
import { runHere } from "../cli/command.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { canMount, endSmallDisks, smallFileSystem } from "../support/small-disk.ts";
import { until } from "../support/wait.ts";

const MIB = 1024 * 1024;

afterEach(async () => {
  await closeClusters();
  endSmallDisks();
});

const filesOf = ({ dataDir }: ClusterNode): string[] => readdirSync(join(dataDir, "snapshots"));

it("a snapshot that was put from a file comes back, after its node was killed, and in no other format", async () => {
  const cluster = await Cluster.create({ size: 3 });
  const node = cluster.node("n1");
  await cluster.leader();
  const { index, term } = await node.commit("the state's last");
  await until("its own node has it", async () => Number((await node.client.status()).state?.appliedIndex) >= index);
  const state = randomBytes(3 * MIB + 1);
  const [source, target] = [join(cluster.folder, "state"), join(cluster.folder, "restored")];
  await writeFile(source, state);
  const sha256 = createHash("sha256").update(state).digest("hex");
  const printed = { index, term, format: "kv/1", size: state.length, sha256 };
  const at = (other: ClusterNode): string[] => ["--address", other.client.address];
  const put = ["snapshot", "put", source, "--format", "kv/1", "-o", "json"];

  const refused = await runHere([...put, "--index", String(index + 1_000), ...at(node)]);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/SNAPSHOT_AHEAD.*applied_index=/) });
  const done = await runHere([...put, "--index", String(index), "--term", String(term), ...at(node)]);
  expect(done).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(done.stdout)).toEqual(printed);

  await node.kill();
  await node.start();
  const got = await runHere([
    "snapshot",
    "get",
    "--format",
    "other/1",
    "--format",
    "kv/1",
    target,
    "-o",
    "json",
    ...at(node),
  ]);
  expect(got).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(got.stdout)).toEqual(printed);
  expect((await readFile(target)).equals(state)).toBe(true);

  const other = ["--format", "other/1", ...at(cluster.node("n2"))];
  const elsewhere = await runHere(["snapshot", "get", join(cluster.folder, "none"), ...other]);
  expect(elsewhere).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("NO_SNAPSHOT: this node has no snapshot"),
  });
  const unreadable = await runHere([...put, "--index", String(index), ...at(cluster.node("n2"))].with(2, "/nowhere"));
  expect(unreadable).toMatchObject({ code: 1, stderr: expect.stringContaining("/nowhere: ENOENT") });
  expect(readdirSync(cluster.folder).filter((name) => name.includes("unfinished") || name === "none")).toEqual([]);
}, 60_000);

it("a node that is killed while a snapshot comes has nothing of it when it is back", async () => {
  const cluster = await Cluster.create({ size: 1 });
  const node = cluster.node("n1");
  await cluster.leader();
  const { index } = await node.commit("one");
  const client = new SidecarClient(node.client.address);
  const { promise: never } = Promise.withResolvers<void>();
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield randomBytes(MIB);
    await never;
  }
  const cut = client.putSnapshot(
    { index, term: 0, format: "kv/1" },
    { chunks: chunks(), sha256: () => new Uint8Array(32) },
  );
  cut.catch(() => {});
  await until("it comes", () => filesOf(node).length === 1);
  await node.kill();
  await expect(cut).rejects.toMatchObject({ code: "UNAVAILABLE" });
  client.close();
  await node.start();
  expect(filesOf(node)).toEqual([]);
  await node.commit("two");
}, 60_000);

it.skipIf(!canMount)(
  "a snapshot that there is no room for is refused, and the node goes on",
  async () => {
    const cluster = await Cluster.create({ size: 1, stopped: true });
    const node = cluster.node("n1");
    const disk = await smallFileSystem(node.dataDir, 48);
    await node.start({ wrapper: disk.wrapper });
    await cluster.leader();
    const { index } = await node.commit("one");
    const put = async (bytes: number) => {
      const file = join(cluster.folder, "state");
      await writeFile(file, randomBytes(bytes));
      const where = ["--index", String(index), "--format", "kv/1", "--address", node.client.address];
      return runHere(["snapshot", "put", file, ...where]);
    };
    expect(await put(64 * MIB)).toMatchObject({ code: 1, stderr: expect.stringContaining("DISK_LOW") });
    await node.commit("two");
    expect(await put(20 * MIB)).toMatchObject({ code: 0 });
    await node.commit("three");
  },
  60_000,
);
