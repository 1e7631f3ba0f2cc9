import { afterEach, expect, it } from "vitest";
import type { LogEntry, TestClient } from "../support/client.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { deliveredBy, Subscriber } from "../support/subscriber.ts";
import { type History, Writers } from "../support/writers.ts";

/** How often the leader, two nodes at once, and all are killed. More of it for a longer run. */
const ROUNDS = Number(process.env["RAFT_SIDECAR_KILL_ROUNDS"] ?? 6);

/** Acknowledged between two kills. */
const COMMANDS_BETWEEN = 300;

afterEach(closeClusters);

/** Restarted while the others go on, or wait for a quorum. */
async function killAndRestart(victims: readonly ClusterNode[], history: History): Promise<void> {
  await Promise.all(victims.map((node) => node.kill()));
  if (victims.length === 1) await history.progress(COMMANDS_BETWEEN);
  await Promise.all(victims.map((node) => node.start()));
  await history.progress(COMMANDS_BETWEEN);
}

/** Everything that was committed, as each node delivers it from the first command on. */
async function logOfAll(cluster: Cluster): Promise<readonly LogEntry[]> {
  const leader = await cluster.leader();
  // Commits whatever the leader's log holds besides.
  const { index } = await leader.commit("end");
  await cluster.allApplied(index);
  const [first = [], ...others] = await Promise.all(cluster.clients.map((client) => deliveredBy(client, index)));
  for (const other of others) expect(other).toEqual(first);
  return first;
}

function subscribers(clients: readonly TestClient[]): Subscriber[] {
  return clients.map((_, first) => new Subscriber(clients, first));
}

async function expectWhole(history: History, cluster: Cluster, readers: readonly Subscriber[]): Promise<void> {
  const log = await logOfAll(cluster);
  history.sent("end");
  history.answered("end", { kind: "unknown", why: "proposed until it was committed" });
  expect(history.contradictions(log)).toEqual([]);
  for (const reader of readers) {
    await reader.reaches(log.at(-1)?.index ?? 0);
    expect(reader.violations).toEqual([]);
    expect(reader.entries).toEqual(log);
    await reader.close();
  }
}

it(
  "loses no acknowledged command and keeps no refused one, while the leader or two nodes at once are killed",
  async () => {
    const cluster = await Cluster.create({ size: 3 });
    await cluster.leader();
    const readers = subscribers(cluster.clients);
    const writers = new Writers(cluster.clients, { unary: 2, streams: 2 });
    const { history } = writers;
    await history.progress(COMMANDS_BETWEEN);

    for (let round = 0; round < ROUNDS; round++) {
      const leader = await cluster.leader();
      const [follower] = cluster.others(leader);
      const both = follower === undefined ? [leader] : [leader, follower];
      // The leader; the leader and a follower; both followers.
      const victims = [[leader], both, cluster.others(leader)][round % 3] ?? [];
      await killAndRestart(victims, history);
    }

    await expectWhole(await writers.stop(), cluster, readers);
    // The first leader's subscriber had to go on elsewhere. How many more do depends on who is elected: all may end up at
    // a node that is never killed.
    expect(readers.flatMap((reader) => reader.servedBy).length).toBeGreaterThan(readers.length);
  },
  60_000 + ROUNDS * 30_000,
);

it("finds everything acknowledged again after all nodes were killed at once, in no earlier term", async () => {
  const cluster = await Cluster.create({ size: 3 });
  const readers = subscribers(cluster.clients);
  const writers = new Writers(cluster.clients, { unary: 2, streams: 2 });
  let term = 0;
  for (let round = 0; round < 3; round++) {
    await writers.history.progress(COMMANDS_BETWEEN);
    const states = await Promise.all(cluster.nodes.map((node) => node.state()));
    term = Math.max(term, ...states.map((state) => state?.term ?? 0));
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    await Promise.all(cluster.nodes.map((node) => node.start()));
    const leader = await cluster.leader();
    // Entered by an election: a term that had a leader isn't led again.
    expect((await leader.state())?.term).toBeGreaterThan(term);
  }
  await expectWhole(await writers.stop(), cluster, readers);
}, 120_000);

it("as a single voter acknowledges only what it finds again after kill -9", async () => {
  const cluster = await Cluster.create({ size: 1 });
  const node = await cluster.leader();
  const readers = subscribers(cluster.clients);
  const writers = new Writers(cluster.clients, { unary: 2, streams: 1 });
  for (let round = 0; round < 3; round++) {
    await writers.history.progress(COMMANDS_BETWEEN);
    await node.kill();
    await node.start();
  }
  await expectWhole(await writers.stop(), cluster, readers);
}, 60_000);
