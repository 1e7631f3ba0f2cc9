import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import { runHere } from "../cli/command.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { putState } from "../support/put-state.ts";
import { canMount, endSmallDisks, smallFileSystem } from "../support/small-disk.ts";
import { Subscriber } from "../support/subscriber.ts";
import { until } from "../support/wait.ts";

const MIB = 1024 * 1024;

/** Of disks of so many MiB half is kept free. */
const DISK_MIB = 32;
const LIMIT_BYTES = (DISK_MIB / 2) * MIB;
const FLAGS = ["--min-free-bytes", String(LIMIT_BYTES)];

const COMMAND_BYTES = MIB / 4;

/** Has a database grow by so many MiB, and deletes what made it grow. */
const GROW_AND_DELETE = `
  const [sqlite, file, mib] = process.argv.slice(1);
  const db = new (require(sqlite))(file);
  db.exec("CREATE TABLE ballast (bytes BLOB)");
  for (let i = 0; i < Number(mib); i++) db.prepare("INSERT INTO ballast VALUES (zeroblob(1048576))").run();
  db.exec("DROP TABLE ballast");
  db.close();
`;

afterEach(async () => {
  await closeClusters();
  endSmallDisks();
});

/** Proposes until the disk of whoever leads is low. Returns how that was said, and adds where commands are. */
async function fill(node: ClusterNode, acknowledged: number[]): Promise<CallFailure> {
  for (let i = 0; i < 4 * DISK_MIB; i++) {
    try {
      acknowledged.push((await node.client.propose(`${i} `.padEnd(COMMAND_BYTES, "x"))).index);
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      if (error.failure?.reason === "DISK_LOW") return error;
    }
  }
  throw new Error("nothing is refused");
}

describe.skipIf(!canMount)("on a small file system", { timeout: 60_000 }, () => {
  it("with less than the limit free a leader refuses proposals with DISK_LOW, all else goes on, and it lets go by itself", async () => {
    const cluster = await Cluster.create({ size: 3, stopped: true, flags: FLAGS });
    const disks = await Promise.all(cluster.nodes.map((node) => smallFileSystem(node.dataDir, DISK_MIB)));
    await Promise.all(cluster.nodes.map((node, i) => node.start({ wrapper: disks[i]?.wrapper ?? [] })));
    await cluster.leader();
    const acknowledged: number[] = [];
    await fill(cluster.node("n1"), acknowledged);
    const leader = await cluster.leader();
    const [follower = leader, other = leader] = cluster.others(leader);
    for (const node of [leader, follower]) {
      const { code, failure } = await fill(node, acknowledged);
      expect({ code, retryAfterMs: failure?.retryAfterMs }).toEqual({
        code: "RESOURCE_EXHAUSTED",
        retryAfterMs: 1_000,
      });
      expect(failure?.metadata).toEqual({ free_bytes: expect.stringMatching(/^\d+$/), limit: String(LIMIT_BYTES) });
      expect(Number(failure?.metadata["free_bytes"])).toBeLessThan(LIMIT_BYTES * (9 / 8));
    }
    expect(acknowledged.length).toBeGreaterThan(DISK_MIB / 2);

    const last = Math.max(...acknowledged);
    expect((await follower.client.readIndex()).index).toBeGreaterThanOrEqual(last);
    const subscriber = new Subscriber([follower.client]);
    await subscriber.reaches(last);
    expect(await leader.client.status()).toMatchObject({ ready: true, disk: { low: true } });
    expect((await fetch(`http://${leader.httpAddress}/readyz`)).status).toBe(200);
    const { stdout } = await runHere(["status", "--address", leader.client.address]);
    expect(stdout).toMatch(
      / leader .* disk low: 1[0-9]\.\d MiB free, 16\.0 MiB are kept free; no proposals while it leads/,
    );
    expect(
      leader.process.events("the disk is nearly full: while this node leads it appends nothing new"),
    ).toMatchObject([{ level: 40, limitBytes: LIMIT_BYTES }]);

    // Elections go on. Who wins may have some room left.
    await leader.kill();
    const next = await cluster.leader([follower, other]);
    await fill(next, acknowledged);
    const wrapper = disks[cluster.nodes.indexOf(leader)]?.wrapper ?? [];
    await leader.start({ wrapper });

    for (const disk of disks) disk.enlarge();
    const { index } = await next.commit("after");
    await cluster.allApplied(index);
    const entries = await subscriber.reaches(index);
    expect(entries.map((entry) => entry.index)).toEqual(expect.arrayContaining([...acknowledged, index]));
    expect(subscriber.violations).toEqual([]);
    await subscriber.close();
    await until("it says so", () => next.process.events("the disk has room again").length === 1);
  });

  it("what was deleted from the database is room for the log, though not for snapshots (PITFALL 61)", async () => {
    const cluster = await Cluster.create({ size: 1, stopped: true });
    const node = cluster.node("n1");
    const { flags } = node;
    const { wrapper } = await smallFileSystem(node.dataDir, DISK_MIB);
    await node.start({ wrapper });
    await node.commit("one");
    // 5 %, as nothing is said.
    expect((await node.client.status()).disk?.limitBytes).toBe(BigInt(Math.floor(DISK_MIB * MIB * 0.05)));
    await node.stop();
    const [command = "", ...rest] = [...wrapper, process.execPath, "-e", GROW_AND_DELETE];
    const sqlite = createRequire(import.meta.url).resolve("better-sqlite3");
    execFileSync(command, [...rest, sqlite, join(node.dataDir, "raft.db"), "20"]);

    node.flags = [...flags, ...FLAGS];
    await node.start({ wrapper });
    const { index } = await node.commit("two");
    const file = join(cluster.folder, "state");
    await writeFile(file, randomBytes(100));
    const where = ["--index", String(index), "--format", "kv/1", "--address", node.client.address];
    expect(await runHere(["snapshot", "put", file, ...where])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("DISK_LOW"),
    });
    const { disk } = await node.client.status();
    expect(disk).toMatchObject({ low: false, limitBytes: BigInt(LIMIT_BYTES) });
    expect(Number(disk?.freeBytes)).toBeGreaterThan(20 * MIB);
    expect(Number(disk?.usedBytes)).toBeLessThan(MIB);
  });

  it("a snapshot for which there is no room is not begun, and comes once there is some", async () => {
    const cluster = await Cluster.create({ size: 3, stopped: true, flags: ["--catch-up-entries", "0"] });
    const away = cluster.node("n3");
    const others = cluster.others(away);
    const { wrapper, enlarge } = await smallFileSystem(away.dataDir, DISK_MIB);
    await Promise.all([...others.map((node) => node.start()), away.start({ wrapper })]);
    await (await cluster.leader()).commit("all have met");
    await away.kill();
    const leader = await cluster.leader(others);
    for (let i = 0; i < 20; i++) await leader.commit(`command ${i}`);
    const state = randomBytes(DISK_MIB * MIB);
    const { index } = await putState(leader.client.address, { index: 20, term: 0, format: "kv/1" }, state);
    await until("it begins later", async () => Number((await leader.client.status()).state?.firstIndex) === index + 1);
    await away.start({ wrapper });
    const received: number[] = [];
    await until("it was tried again and again", async () => {
      received.push(Number((await away.client.status()).snapshotPull?.receivedBytes ?? 0));
      return away.process.events("could not take over a snapshot").length >= 3;
    });
    expect(Math.max(...received)).toBeLessThan(MIB);
    enlarge();
    await until("it has come", async () => Number((await away.client.status()).snapshot?.index) === index);
  });
});
