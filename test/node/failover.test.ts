import { describe, expect, it } from "vitest";
import type { World } from "../simulation/world.ts";
import {
  commit,
  electionsDuring,
  LONGEST_MS,
  leaderOf,
  NEVER,
  newWorld,
  nodeOf,
  others,
  propose,
  readIndex,
  regularly,
  SHORTEST_MS,
  threeOf,
} from "./world.ts";

const SEEDS = Array.from({ length: 20 }, (_, i) => i + 1);

/** Until somebody leads in a later term. */
function untilNextLeader(world: World, term: number, limitMs: number): number {
  const startMs = world.nowMs;
  world.runUntil(() => (world.leader?.node.state().term ?? 0) > term, limitMs);
  return world.nowMs - startMs;
}

describe("a leader whose process died", () => {
  it.each([3, 5])("is followed by another of %i within less than the shortest election timeout", (size) => {
    for (const seed of SEEDS) {
      const world = newWorld({ seed, size });
      const leader = leaderOf(world);
      const { term } = nodeOf(leader).state();
      world.run(1_000);
      leader.crash(NEVER);
      const ms = untilNextLeader(world, term, 5_000);
      expect({ seed, ms, isSoon: ms < SHORTEST_MS }).toMatchObject({ seed, isSoon: true });
    }
  });

  it("holds up no proposal and no read at the others for longer", () => {
    for (const seed of SEEDS) {
      const world = newWorld({ seed });
      const [leader, follower, other] = threeOf(world);
      commit(world, follower, "before");
      leader.crash(NEVER);
      const asked = [follower, other].flatMap((host) => [propose(host, host.id), readIndex(host)]);
      // At once nobody knows: what is sent to the old leader may be lost with it.
      world.run(10);
      const later = [follower, other].flatMap((host) => [propose(host, `${host.id} later`), readIndex(host)]);
      const all = (): boolean => [...asked, ...later].every(({ answers }) => answers.length === 1);
      expect({ seed, all: world.runUntil(all, SHORTEST_MS) }).toEqual({ seed, all: true });
      for (const { answers } of later) expect(answers).toEqual([expect.any(Number)]);
    }
  });

  it("returns as a follower of the next one, and no election more takes place", () => {
    const world = newWorld();
    const leader = leaderOf(world);
    leader.crash(300);
    world.run(LONGEST_MS);
    const elections = electionsDuring(world, () => world.run(10 * LONGEST_MS));
    expect(elections).toBe(0);
    expect(nodeOf(leader).state()).toMatchObject({ role: "follower", leader: world.leader?.host.id });
  });
});

it("a leader that stands still is refused by nobody: its followers wait for the election timer", () => {
  for (const seed of SEEDS) {
    const world = newWorld({ seed });
    const leader = leaderOf(world);
    const { term } = nodeOf(leader).state();
    world.run(1_000);
    leader.pause(10_000);
    // They have last heard it up to a heartbeat before.
    expect(untilNextLeader(world, term, 5_000)).toBeGreaterThan(SHORTEST_MS - 100 - 1);
  }
});

describe("a leader that lives", () => {
  it("stays when one follower believes that it is refused, again and again (PITFALL 8)", () => {
    for (const seed of SEEDS) {
      const world = newWorld({ seed });
      const [leader, follower] = threeOf(world);
      world.network.faults.falseRefusals = 1;
      const elections = electionsDuring(world, () => {
        regularly(world, 1_500, 30_000, (round) => {
          follower.process?.links.get(leader.id)?.break();
          if (round > 10) propose(follower, `${round}`);
        });
      });
      expect({ seed, elections }).toEqual({ seed, elections: 0 });
      expect(world.counters.get("members refused that live")).toBeGreaterThan(10);
      expect(world.leader?.host).toBe(leader);
      world.run(100);
      for (const host of others(world)) expect(nodeOf(host).state().commit).toBe(nodeOf(leader).state().commit);
    }
  });

  it("and refuses all connections is deposed at worst; nothing that was acknowledged is lost", () => {
    let deposed = 0;
    for (const seed of SEEDS) {
      const world = newWorld({ seed });
      const leader = leaderOf(world);
      const [index = 0] = commit(world, leader, "kept");
      const { term } = nodeOf(leader).state();
      leader.refuseDials(1_000);
      world.run(1_500);
      const next = leaderOf(world);
      const [later = 0] = commit(world, next, "and on");
      expect(later).toBeGreaterThan(index);
      if (nodeOf(next).state().term > term) deposed++;
      world.run(1_000);
      for (const host of world.hosts) expect(nodeOf(host).state()).toMatchObject({ commit: later, leader: next.id });
    }
    expect(deposed).toBeGreaterThan(0);
  });
});
