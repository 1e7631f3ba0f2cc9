import { describe, expect, it } from "vitest";
import { commandsOn, leaderOf, newWorld, nodeOf, others, propose } from "./world.ts";

/** From a proposal to its delivery by a follower: a message, its disk, and another message; then what the news waits for. */
const DELIVERED_MS = 20;

describe("followers are told of a commit", () => {
  it("within milliseconds when nothing follows, long before the next heartbeat", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = newWorld({ seed, node: { heartbeatMs: 100 } });
      const leader = leaderOf(world);
      world.run(1_000);
      const before = commandsOn(leader).length;
      propose(leader, "alone");
      world.run(DELIVERED_MS);
      for (const host of others(world, leader))
        expect({ seed, commands: commandsOn(host).length - before }).toEqual({ seed, commands: 1 });
    }
  });

  it("also of what commits while the news of an earlier commit waits", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = newWorld({ seed, node: { heartbeatMs: 100 } });
      const leader = leaderOf(world);
      world.run(1_000);
      for (let i = 0; i < 30; i++) {
        propose(leader, `${i}`);
        world.run(0.2);
      }
      world.run(DELIVERED_MS);
      const { commit } = nodeOf(leader).state();
      for (const host of others(world, leader))
        expect({ seed, commit: nodeOf(host).state().commit }).toEqual({ seed, commit });
    }
  });

  it("by what they are sent next, when that comes in time", () => {
    const world = newWorld({ node: { heartbeatMs: 100 } });
    const leader = leaderOf(world);
    world.run(1_000);
    const before = world.counters.get("requests sent");
    const lastBefore = nodeOf(leader).state().last;
    for (let i = 0; i < 500; i++) {
      propose(leader, `${i}`);
      world.run(0.4);
    }
    const entries = nodeOf(leader).state().last - lastBefore;
    // Two for each entry at the most, and a heartbeat to each follower every 100 ms.
    expect(world.counters.get("requests sent") - before).toBeLessThanOrEqual(2 * entries + 10);
  });
});
