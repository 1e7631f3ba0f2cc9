import { describe, expect, it } from "vitest";
import type { Host } from "../simulation/host.ts";
import type { NetworkFaults } from "../simulation/network.ts";
import type { World } from "../simulation/world.ts";
import { commit, LONGEST_MS, newWorld, nodeOf, others, propose, SHORTEST_MS, TICK_MS, threeOf } from "./world.ts";

const SEEDS = [1, 2, 3, 4, 5];

/** Heartbeats go on to arrive; no answer to what is sent from now on does. */
function cutAnswers(world: World, leader: Host): void {
  for (const other of others(world, leader)) world.network.cut(other, leader);
}

/** How long `leader` goes on to lead, proposals and all, with answers cut. */
function leadsForMs(seed: number, faults: Partial<NetworkFaults>): { world: World; leader: Host; ms: number } {
  const world = newWorld({ seed });
  const [leader] = threeOf(world);
  Object.assign(world.network.faults, faults);
  for (let i = 0; i < 100; i++) {
    propose(leader, `before ${i}`);
    world.run(20);
  }
  expect(world.leader?.host).toBe(leader);
  const { term } = nodeOf(leader).state();
  cutAnswers(world, leader);
  const cutMs = world.nowMs;
  const hasSteppedDown = (): boolean => nodeOf(leader).state().role !== "leader";
  while (!hasSteppedDown() && world.nowMs < cutMs + 20_000) {
    propose(leader, "after");
    world.runUntil(hasSteppedDown, 20);
  }
  expect(nodeOf(leader).state()).toMatchObject({ term, leader: "" });
  return { world, leader, ms: world.nowMs - cutMs };
}

describe("a leader whose heartbeats arrive and who gets no answers", () => {
  it("steps down within two shortest election timeouts, and another is elected (PITFALL 7)", () => {
    for (const seed of SEEDS) {
      const { world, leader, ms } = leadsForMs(seed, {});
      expect(ms).toBeLessThanOrEqual(2 * SHORTEST_MS + TICK_MS);
      const isSucceeded = (): boolean => world.leader !== undefined && world.leader.host !== leader;
      expect(world.runUntil(isSucceeded, 4 * LONGEST_MS)).toBe(true);
      const [next] = world.hosts.filter((host) => host.process === world.leader);
      if (next === undefined) throw new Error("somebody leads");
      commit(world, next, "under the next");
      // It hears nobody, and disturbs nobody.
      const elections = world.properties.elections;
      world.run(20 * LONGEST_MS);
      expect(world.properties.elections).toBe(elections);
    }
  });

  it("does so too while answers that it has had already come again and again (PITFALL 7)", () => {
    for (const seed of SEEDS) {
      const { world, ms } = leadsForMs(seed, { duplicate: 1 });
      expect(ms).toBeLessThanOrEqual(2 * SHORTEST_MS + TICK_MS);
      expect(world.counters.get("messages duplicated")).toBeGreaterThan(100);
    }
  });

  it("leads no longer than two timeouts after the last answer to an old request, however late that is (PITFALL 7)", () => {
    for (const seed of SEEDS) {
      // From 200 to 2,200 ms, in any order.
      const { ms } = leadsForMs(seed, { lateAnswers: 1, ordered: false });
      expect(ms).toBeLessThanOrEqual(2_200 + 2 * SHORTEST_MS + TICK_MS);
    }
  });
});
