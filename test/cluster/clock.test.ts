import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";
import { failureOf } from "../support/client.ts";
import { Cluster, closeClusters } from "../support/cluster.ts";
import { sleep } from "../support/wait.ts";

const PRELOAD = fileURLToPath(new URL("../support/wandering-date.ts", import.meta.url));
const wandering = { wrapper: ["env", `NODE_OPTIONS=--import=${PRELOAD}`] };

/** Some ten elections' worth, and several jumps of the clock. */
const LONG_MS = 3_000;

const HOUR_MS = 3_600_000;

afterEach(closeClusters);

it("elects, keeps its leader, commits and answers in time while every node's time of day goes back and forth", async () => {
  const cluster = await Cluster.create({ size: 3, stopped: true });
  await Promise.all(cluster.nodes.map((node) => node.start(wandering)));
  const leader = await cluster.leader();
  const { term } = await leader.commit("before");
  const untilMs = performance.now() + LONG_MS;
  let committed = 0;
  while (performance.now() < untilMs) {
    for (const node of cluster.nodes) committed = (await node.client.propose("while it jumps")).index;
    await sleep(100);
  }
  await cluster.allApplied(committed);
  expect(await leader.state()).toMatchObject({ isLeader: true, term });
  expect(await leader.stop()).toBe(0);
  // The times in its log did jump.
  const times = leader.lines.map((line) => Date.parse(String(line["time"])));
  expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(HOUR_MS / 2);

  // An election timeout, a deadline of a call and the wait for a leader are counted by a clock that only goes forward.
  const [second, third] = cluster.others(leader);
  if (second === undefined || third === undefined) throw new Error("three nodes");
  await cluster.leader([second, third]);
  await second.commit("with two");
  await third.kill();
  const startMs = performance.now();
  const failure = await failureOf(second.client.propose("alone", LONG_MS));
  expect(performance.now() - startMs).toBeLessThan(2 * LONG_MS);
  expect(["NO_LEADER", "OUTCOME_UNKNOWN", "NOT_APPENDED"]).toContain(failure.failure?.reason);

  // Started again at another time of day, it finds all of it.
  await third.start();
  await second.commit("and on");
  const found = (await third.client.readLog()).map(({ command }) => command);
  expect(found).toEqual(expect.arrayContaining(["before", "while it jumps", "with two"]));
}, 60_000);
