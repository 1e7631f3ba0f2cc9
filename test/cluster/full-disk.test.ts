import { afterEach, expect, it } from "vitest";
import { Cluster, closeClusters } from "../support/cluster.ts";
import { canMount, endSmallDisks, type SmallDisk, smallFileSystem } from "../support/small-disk.ts";
import { outcomeOf } from "../support/writers.ts";

/** Big enough to fill a small disk within a moment. */
const COMMAND_BYTES = 50_000;

afterEach(async () => {
  await closeClusters();
  endSmallDisks();
});

/** Files that can't grow beyond 1 or 2 MiB, as the shell counts. */
function smallFiles(): SmallDisk {
  return { wrapper: ["sh", "-c", 'trap "" XFSZ; ulimit -f 2048; exec "$@"', "sh"], enlarge: () => [] };
}

it.for<[string, boolean, (path: string) => SmallDisk | Promise<SmallDisk>, RegExp]>([
  ["files that can't grow", true, smallFiles, /raft\.db: .*\(SQLITE_(FULL|IOERR_WRITE)\)\. .*start again/],
  [
    "a small file system",
    canMount,
    smallFileSystem,
    /raft\.db: database or disk is full \(SQLITE_FULL\)\. Free space, or raise the quota, and start again/,
  ],
])(
  "ends a node whose disk is full with 74; the others go on, and with room it comes back and lacks nothing: %s",
  {
    timeout: 60_000,
  },
  async ([_title, isPossible, makeDisk, message], { skip }) => {
    skip(!isPossible, "no file system can be mounted here");
    // Without a reserve: else the node would refuse what fills its disk while it leads.
    const cluster = await Cluster.create({ size: 3, stopped: true, flags: ["--min-free-bytes", "0"] });
    const node = cluster.node("n1");
    const disk = await makeDisk(node.dataDir);
    await Promise.all(cluster.nodes.map((each) => each.start(each === node ? { wrapper: disk.wrapper } : {})));
    await cluster.leader();

    const acknowledged: string[] = [];
    for (let i = 0; !node.process.ended && i < 1_000; i++) {
      const command = `${i} `.padEnd(COMMAND_BYTES, "x");
      try {
        await node.client.propose(command);
        acknowledged.push(command);
      } catch (error) {
        outcomeOf(error);
      }
    }
    expect(await node.process.exited).toBe(74);
    expect(acknowledged.length).toBeGreaterThan(5);
    expect(JSON.stringify(node.process.events("the node can't go on"))).toMatch(message);
    const next = await cluster.leader(cluster.others(node));
    await next.commit("without it");

    await node.start({ wrapper: disk.enlarge() });
    const { index } = await node.commit("back");
    await cluster.allApplied(index);
    const found = (await node.client.readLog()).map(({ command }) => command);
    expect(found).toEqual(expect.arrayContaining([...acknowledged, "without it", "back"]));
  },
);
