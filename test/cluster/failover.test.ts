import { afterEach, expect, it } from "vitest";
import { Cluster, closeClusters } from "../support/cluster.ts";
import { never } from "../support/wait.ts";

/** So long that whoever leads before has not waited for the election timer. */
const SHORTEST_MS = 5_000;
const LONGEST_MS = 10_000;
const HEARTBEAT_MS = 100;

afterEach(closeClusters);

it("a leader that is killed or ended is followed by another before the election timer, one that stands still isn't", async () => {
  const flags = ["--election-timeout-min-ms", String(SHORTEST_MS), "--election-timeout-max-ms", String(LONGEST_MS)];
  const cluster = await Cluster.create({ size: 3, flags });
  const leader = await cluster.leader();
  const { term } = await leader.commit("before");
  const others = cluster.others(leader);

  leader.pause();
  await never("another leads while nobody refuses connections", SHORTEST_MS / 2, async () => {
    const states = await Promise.all(others.map((node) => node.state()));
    return states.some((state) => state?.isLeader === true || state?.term !== term);
  });
  leader.resume();
  expect(await cluster.leader()).toBe(leader);
  expect((await leader.commit("still")).term).toBe(term);

  const startMs = performance.now();
  await leader.kill();
  const next = await cluster.leader(others);
  const committed = await next.commit("after");
  expect(performance.now() - startMs).toBeLessThan(SHORTEST_MS - HEARTBEAT_MS);
  expect(committed.term).toBeGreaterThan(term);

  await leader.start();
  await cluster.allApplied(committed.index);
  const stopMs = performance.now();
  expect(await next.stop()).toBe(0);
  const last = await cluster.leader(cluster.others(next));
  expect((await last.commit("after both")).term).toBeGreaterThan(committed.term);
  expect(performance.now() - stopMs).toBeLessThan(SHORTEST_MS - HEARTBEAT_MS);
}, 60_000);
