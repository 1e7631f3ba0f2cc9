import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { type DiskCall, FaultyDisk, hasFaultyDisks } from "../support/faulty-disk.ts";
import { until } from "../support/wait.ts";
import { outcomeOf } from "../support/writers.ts";

/** What a node wrote when it ended. */
function lastWords(node: ClusterNode): string {
  return JSON.stringify(node.process.events("the node can't go on"));
}

describe.skipIf(!hasFaultyDisks)("a leader whose disk fails (needs a C compiler)", () => {
  let cluster: Cluster;
  let disks: Map<ClusterNode, FaultyDisk>;
  const acknowledged: string[] = [];

  beforeAll(async () => {
    cluster = await Cluster.create({ size: 3, stopped: true });
    disks = new Map(cluster.nodes.map((node) => [node, new FaultyDisk()]));
    await Promise.all(cluster.nodes.map(start));
  });

  afterAll(async () => {
    await closeClusters();
    for (const disk of disks.values()) disk.close();
  });

  function diskOf(node: ClusterNode): FaultyDisk {
    const disk = disks.get(node);
    if (disk === undefined) throw new Error("each node has a disk");
    return disk;
  }

  function start(node: ClusterNode): Promise<void> {
    return node.start({ wrapper: diskOf(node).wrapper });
  }

  const broken = /See what the system's log says about the disk, and start again/;
  const full = /Free space, or raise the quota, and start again: all that was acknowledged is there/;

  it.each<[DiskCall, string, "EIO" | "ENOSPC" | "EROFS", RegExp, RegExp]>([
    ["sync", "raft.db-wal", "EIO", /raft\.db: .*SQLITE_IOERR_FSYNC/, broken],
    ["write", "raft.db-wal", "EIO", /raft\.db: .*SQLITE_IOERR_WRITE/, broken],
    ["write", "raft.db-wal", "EROFS", /raft\.db: .*SQLITE_IOERR_WRITE/, broken],
    ["write", "raft.db-wal", "ENOSPC", /raft\.db: .*SQLITE_FULL/, full],
    ["sync", "raft.mark", "EIO", /raft\.db: .*EIO/, broken],
  ])(
    "ends with 74 at the first %s of %s that fails with %s; nothing acknowledged is lost, and the others go on",
    async (call, file, code, message, advice) => {
      const leader = await cluster.leader();
      for (let i = 0; i < 3; i++) {
        const command = `before ${call} ${code} ${i}`;
        await leader.commit(command);
        acknowledged.push(command);
      }
      diskOf(leader).fail(call, file, code);
      const inFlight = Array.from({ length: 10 }, async (_, i) => {
        const command = `during ${call} ${code} ${i}`;
        try {
          await leader.client.propose(command);
          acknowledged.push(command);
        } catch (error) {
          outcomeOf(error);
        }
      });
      expect(await leader.process.exited).toBe(74);
      await Promise.all(inFlight);
      expect(lastWords(leader)).toMatch(message);
      expect(lastWords(leader)).toMatch(advice);

      const others = cluster.others(leader);
      const next = await cluster.leader(others);
      const command = `after ${call} ${code}`;
      const { index } = await next.commit(command);
      acknowledged.push(command);
      // It does not come back on a disk that still fails, and does on one that is whole again.
      const refused = leader.launch({ wrapper: diskOf(leader).wrapper });
      expect(await refused.exited).toBe(74);
      diskOf(leader).heal();
      await start(leader);
      await cluster.allApplied(index);
      for (const node of cluster.nodes) {
        const found = (await node.client.readLog()).map((entry) => entry.command);
        expect(found).toEqual(expect.arrayContaining(acknowledged));
      }
    },
    60_000,
  );
});

describe.skipIf(!hasFaultyDisks)("a single node (needs a C compiler)", () => {
  let disk: FaultyDisk;
  let node: ClusterNode;

  async function start(): Promise<void> {
    disk = new FaultyDisk();
    const cluster = await Cluster.create({ size: 1, stopped: true });
    node = cluster.node("n1");
    await node.start({ wrapper: disk.wrapper });
    await node.commit("before");
  }

  afterEach(async () => {
    await closeClusters();
    disk.close();
  });

  it("exits with 74, not with 0, when its disk fails with the last write of an orderly end", async () => {
    await start();
    disk.hold("sync", "raft.db-wal");
    const proposed = node.client.propose("not on the disk").catch(outcomeOf);
    await until("it is appended", async () => (await node.client.status()).proposalsInFlight === 1);
    const exited = node.stop();
    expect(await proposed).toMatchObject({ kind: "unknown" });
    // The node has ended by then, and its storage waits for the write.
    await until("its listeners are closed", async () => (await node.state()) === undefined);
    disk.fail("sync", "raft.db-wal", "EIO");
    expect(await exited).toBe(74);
    expect(lastWords(node)).toMatch(/raft\.db: .*SQLITE_IOERR_FSYNC/);
    disk.heal();
    await node.start();
    expect((await node.client.readLog()).map(({ command }) => command)).toContain("before");
  }, 60_000);

  it("ends with 74 when its disk takes the WAL but not the database, which SQLite keeps to itself", async () => {
    await start();
    disk.fail("sync", "raft.db", "EIO");
    // Each is more than 200 pages of the WAL, of which a thousand are due for the database.
    const command = "x".repeat(900_000);
    let acknowledged = 0;
    while (!node.process.ended && acknowledged < 100) {
      const done = await node.client.propose(command).then(
        () => true,
        () => false,
      );
      if (!done) break;
      acknowledged++;
    }
    expect(await node.process.exited).toBe(74);
    expect(lastWords(node)).toMatch(/raft\.db: .*SQLITE_IOERR/);
    disk.heal();
    await node.start();
    const found = (await node.client.readLog()).filter((entry) => entry.command === command);
    expect(found.length).toBeGreaterThanOrEqual(acknowledged);
  }, 60_000);
});
