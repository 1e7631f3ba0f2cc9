import { describe, expect, it } from "vitest";
import type { Host } from "../simulation/host.ts";
import type { World } from "../simulation/world.ts";
import { ABSENT, FITTING, THERE, UNKNOWN_ABSENT, UNKNOWN_THERE, verdicts } from "./verdicts.ts";
import {
  type Call,
  commit,
  cutPair,
  leaderOf,
  newWorld,
  nodeOf,
  others,
  propose,
  regularly,
  SHORTEST_MS,
  threeOf,
} from "./world.ts";

function breakForward(from: Host, to: Host): void {
  from.process?.links.get(to.id)?.break();
}

/** One of the three is cut off from the leader, with its connection gone: what it forwards can't be sent. */
function withoutConnection(world: World): [leader: Host, follower: Host] {
  const [leader, follower] = threeOf(world);
  world.run(1_000);
  cutPair(world, leader, follower);
  breakForward(follower, leader);
  expect(nodeOf(follower).state().leader).toBe(leader.id);
  return [leader, follower];
}

describe("what a follower forwards", () => {
  it("is in the log at most once, whenever its connection breaks, and unknown unless answered (PITFALL 58)", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    const calls = new Map<string, Call>();
    for (let afterMs = 0; afterMs < 4; afterMs += 0.05) {
      commit(world, follower, `before ${afterMs}`);
      const command = `broken after ${afterMs}`;
      calls.set(command, propose(follower, command, { ordered: calls.size % 2 === 0 }));
      world.run(afterMs);
      breakForward(follower, leader);
      world.run(2_000);
    }
    world.run(5_000);
    // Broken on its way, at the leader, and after all.
    expect(verdicts(leader, calls)).toEqual(new Set([THERE, UNKNOWN_ABSENT, UNKNOWN_THERE]));
  });

  it("is told as it is when its leader is gone before, at, or after its append (PITFALL 58)", () => {
    const seen = new Set<string>();
    for (let step = 0; step < 40; step++) {
      const world = newWorld({ seed: step });
      const [leader, follower] = threeOf(world);
      commit(world, follower, "before");
      const calls = new Map(
        [true, false].map((ordered) => [`${ordered}`, propose(follower, `${ordered}`, { ordered })]),
      );
      world.run(step / 10);
      leader.crash(2_000);
      world.run(10_000);
      for (const verdict of verdicts(leaderOf(world), calls)) seen.add(verdict);
    }
    expect(seen).toEqual(new Set([THERE, UNKNOWN_ABSENT, UNKNOWN_THERE]));
  });

  it("is never sent again when its leader was deposed after the append, and survives once (PITFALL 58)", () => {
    const world = newWorld();
    const [leader, follower, other] = threeOf(world);
    const { last } = nodeOf(leader).state();
    const calls = new Map([["appended", propose(follower, "appended")]]);
    expect(world.runUntil(() => nodeOf(leader).state().last > last, 10)).toBe(true);
    for (const host of [follower, other]) world.network.cut(host, leader);
    expect(world.runUntil(() => nodeOf(leader).state().role !== "leader", 2_000)).toBe(true);
    world.network.heal();
    world.run(10_000);
    expect(verdicts(leaderOf(world), calls)).toEqual(new Set([UNKNOWN_THERE]));
  });

  it("and couldn't be sent is refused for certain, and truly absent (PITFALL 58)", () => {
    for (const seed of [1, 2, 3]) {
      const world = newWorld({ seed });
      const [leader, follower] = withoutConnection(world);
      const calls = new Map([
        ["any", propose(follower, "any")],
        ["ordered", propose(follower, "ordered", { ordered: true })],
      ]);
      world.run(5_000);
      world.network.heal();
      world.run(15_000);
      expect(calls.get("any")?.answers).toEqual(["NO_LEADER"]);
      expect(calls.get("ordered")?.answers).toEqual(["NOT_APPENDED"]);
      expect(verdicts(leader, calls)).toEqual(new Set([ABSENT]));
    }
  });

  it("and couldn't be sent at first goes to the leader once there is a connection, and is there once (PITFALL 58)", () => {
    const world = newWorld();
    const [leader, follower] = withoutConnection(world);
    const call = propose(follower, "patient");
    world.run(SHORTEST_MS / 4);
    world.network.heal();
    world.run(5_000);
    expect(verdicts(leader, new Map([["patient", call]]))).toEqual(new Set([THERE]));
  });

  it("is never there twice while connections break all the time and leaders change (PITFALL 58)", () => {
    for (const seed of [1, 2, 3]) {
      const world = newWorld({ seed });
      leaderOf(world);
      const { network: random } = world.random;
      const calls = new Map<string, Call>();
      regularly(world, 10, 14_000, (round) => {
        const { leader } = world;
        for (const host of others(world, ...(leader === undefined ? [] : [leader.host]))) {
          const command = `${round} at ${host.id}`;
          calls.set(command, propose(host, command, { ordered: random.chance(0.3) }));
          if (leader === undefined || !random.chance(0.05)) continue;
          world.scheduler.in(random.between(0, 3), () => breakForward(host, leader.host));
        }
        if (round % 300 === 200) leader?.host.pause(4 * SHORTEST_MS);
      });
      world.run(20_000);
      expect(verdicts(leaderOf(world), calls)).toEqual(new Set(FITTING));
      expect(world.properties.elections).toBeGreaterThan(3);
    }
  });
});
