import { describe, expect, it } from "vitest";
import type { Host } from "../simulation/host.ts";
import { commit, isolate, LONGEST_MS, leaderOf, NEVER, newWorld, nodeOf, others, threeOf } from "./world.ts";

const termOf = (host: Host): number => host.directory.log.hardState.currentTerm;

describe("a node that was down while the term rose", () => {
  it("rejoins, and a majority that needs it elects a leader (PITFALL 5)", () => {
    const world = newWorld({ size: 5 });
    const [low] = others(world, leaderOf(world));
    if (low === undefined) throw new Error("four follow");
    low.crash(NEVER);
    for (let change = 0; change < 4; change++) {
      const leader = leaderOf(world);
      commit(world, leader, `change ${change}`);
      leader.crash(2 * LONGEST_MS);
    }
    leaderOf(world);
    world.run(5 * LONGEST_MS);
    const [first, second, ...rest] = others(world, low);
    first?.crash(NEVER);
    second?.crash(NEVER);
    low.start();
    expect(termOf(low)).toBeLessThan(Math.min(...rest.map(termOf)) - 2);
    const leader = leaderOf(world, 10 * LONGEST_MS);
    commit(world, leader, "with the low one");
    expect([low, ...rest].map(termOf)).toEqual(Array(3).fill(termOf(leader)));
  });

  it("leads when it alone has the longer log, though the other's term is higher (PITFALL 5)", () => {
    const world = newWorld();
    const [old, low, high] = threeOf(world);
    isolate(world, high);
    commit(world, old, ..."abcde");
    low.crash(NEVER);
    old.crash(0);
    world.network.heal();
    // The one with everything asks for a vote, gets it, and is gone before it has led.
    const { log } = high.directory;
    expect(world.runUntil(() => log.hardState.votedFor === old.id && log.hardState.currentTerm > 1, 10_000)).toBe(true);
    old.crash(NEVER);
    low.start();
    expect(termOf(low)).toBeLessThan(termOf(high));
    expect(low.directory.log.lastIndex).toBeGreaterThan(log.lastIndex);
    expect(leaderOf(world, 10 * LONGEST_MS)).toBe(low);
    expect(nodeOf(high).state().leader).toBe(low.id);
  });
});
