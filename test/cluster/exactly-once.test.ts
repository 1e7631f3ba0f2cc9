import { afterEach, expect, it } from "vitest";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { Retriers } from "../support/retriers.ts";
import { deliveredBy } from "../support/subscriber.ts";
import { sleep } from "../support/wait.ts";

/** How many commands are proposed. More of them for a longer run. */
const COMMANDS = Number(process.env["RAFT_SIDECAR_COMMANDS"] ?? 20_000);

/** Acknowledged between two troubles. */
const BETWEEN = 200;

afterEach(closeClusters);

/** One trouble after the other; each is over when it returns. */
const TROUBLES: readonly ((cluster: Cluster, leader: ClusterNode) => Promise<void>)[] = [
  async (_, leader) => {
    await leader.kill();
    await sleep(500);
    await leader.start();
  },
  async (cluster, leader) => {
    cluster.isolate([leader]);
    await sleep(1_500);
    cluster.heal();
  },
  async (cluster, leader) => {
    // The connections break, and what was under way is lost; who leads stays.
    cluster.isolate(cluster.others(leader));
    await sleep(50);
    cluster.heal();
  },
  async (cluster, leader) => {
    const [follower = leader] = cluster.others(leader);
    await follower.kill();
    await follower.start();
  },
  async (cluster, leader) => {
    cluster.isolate([leader], "blackhole");
    await sleep(1_500);
    cluster.heal();
  },
];

it(
  "retries with the same sequence are in the log once each, while leaders are killed and links are cut",
  async () => {
    const cluster = await Cluster.create({ size: 3, proxied: true });
    await cluster.leader();
    const startedMs = performance.now();
    const retriers = new Retriers(cluster.clients, COMMANDS, { unary: 24, streams: 4 });
    let troubles = 0;
    while (!retriers.isDone) {
      await retriers.progress(BETWEEN);
      await TROUBLES[troubles++ % TROUBLES.length]?.(cluster, await cluster.leader());
    }
    await retriers.end();
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0);

    const { index } = await (await cluster.leader()).commit("end");
    await cluster.allApplied(index);
    for (const client of cluster.clients) {
      const log = await deliveredBy(client, index);
      const commands = log.map(({ command }) => command).filter((command) => command !== "end");
      expect(commands).toHaveLength(COMMANDS);
      expect(new Set(commands).size).toBe(COMMANDS);
      const misplaced = log.filter(({ command, index: at }) => command !== "end" && placeOf(command) !== at);
      expect(misplaced).toEqual([]);
    }
    // Retries there were, of what had been appended, too.
    expect(retriers.duplicates).toBeGreaterThan(0);
    expect(retriers.failures.get("OUTCOME_UNKNOWN")).toBeGreaterThan(0);
    const { duplicates, failures } = retriers;
    const summary = { commands: COMMANDS, seconds, troubles, duplicates, failures: Object.fromEntries(failures) };
    process.stdout.write(`exactly once: ${JSON.stringify(summary)}\n`);

    function placeOf(command: string): number | undefined {
      return retriers.acknowledged.get(command)?.index;
    }
  },
  120_000 + COMMANDS * 10,
);
