import { describe, expect, it } from "vitest";
import type { Host } from "../simulation/host.ts";
import type { World } from "../simulation/world.ts";
import {
  commandsOn,
  commit,
  cutPair,
  electionsDuring,
  isolate,
  LONGEST_MS,
  leaderOf,
  newWorld,
  nodeOf,
  others,
  propose,
  regularly,
  threeOf,
} from "./world.ts";

const MINUTE_MS = 60_000;

/** Every two of so many, and every seed, once. */
const PAIRS = [3, 5].flatMap((size) =>
  Array.from({ length: size }, (_, a) => Array.from({ length: a }, (_, b) => ({ size, a, b })))
    .flat()
    .flatMap((pair) => [1, 2].map((seed) => ({ ...pair, seed }))),
);

describe("a healthy leader and its term stay", () => {
  it("for a minute with any pair of nodes cut from each other (PITFALL 8)", () => {
    for (const { size, seed, a, b } of PAIRS) {
      const world = newWorld({ size, seed });
      const leader = leaderOf(world);
      const { term } = nodeOf(leader).state();
      const [one, two] = [world.hosts[a], world.hosts[b]];
      if (one === undefined || two === undefined) throw new Error("two hosts");
      cutPair(world, one, two);
      const elections = electionsDuring(world, () => {
        // At first all logs are equal; later a node that is cut off from the leader lacks entries.
        world.run(MINUTE_MS / 2);
        regularly(world, 2_000, MINUTE_MS / 2, (round) => propose(leader, `${round}`));
      });
      const where = `${one.id} and ${two.id} of ${size}, seed ${seed}, led by ${leader.id}`;
      expect({ where, elections, terms: terms(world) }).toEqual({ where, elections: 0, terms: [term] });
      expect(world.leader?.host).toBe(leader);
      for (const host of others(world, one, two)) expect(commandsOn(host)).toHaveLength(15);
    }
  });

  it.each([
    ["the link between any two nodes breaks", (world: World): Host[][] => pairsOf(world)],
    ["all links of a follower break", (world: World): Host[][] => others(world, leaderOf(world)).map((host) => [host])],
  ])("while %s every 200 ms (PITFALL 8)", (_, victimsIn) => {
    for (const seed of [1, 2, 3]) {
      for (const which of victimsIn(newWorld({ seed })).keys()) {
        const world = newWorld({ seed });
        const leader = leaderOf(world);
        const [one, two] = victimsIn(world)[which] ?? [];
        if (one === undefined) throw new Error("somebody's link");
        const elections = electionsDuring(world, () => {
          regularly(world, 200, 20_000, (round) => {
            if (round > 50) propose(leader, `${round}`);
            for (const other of two === undefined ? others(world, one) : [two]) breakLinks(one, other);
          });
        });
        expect({ seed, one: one.id, two: two?.id, elections }).toMatchObject({ elections: 0 });
        expect(world.leader?.host).toBe(leader);
      }
    }
  });

  it("when a node returns that was alone for long: its term is no higher (PITFALL 8)", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    const { term } = nodeOf(leader).state();
    isolate(world, follower);
    commit(world, leader, "alone without it");
    world.run(30 * LONGEST_MS);
    expect(nodeOf(follower).state()).toMatchObject({ term, leader: "" });
    const elections = electionsDuring(world, () => {
      world.network.heal();
      world.run(10 * LONGEST_MS);
    });
    expect({ elections, terms: terms(world) }).toEqual({ elections: 0, terms: [term] });
    expect(commandsOn(follower)).toEqual(["alone without it"]);
  });

  it.each([3, 5])("when a node of %i returns with a longer log, which never committed (PITFALL 8)", (size) => {
    const world = newWorld({ size });
    const old = leaderOf(world);
    isolate(world, old);
    for (let i = 0; i < 20; i++) propose(old, `lost ${i}`);
    world.run(10 * LONGEST_MS);
    const leader = leaderOf(world);
    commit(world, leader, "kept");
    const { term, last } = nodeOf(leader).state();
    expect(nodeOf(old).state().last).toBeGreaterThan(last);
    expect(nodeOf(old).state().term).toBeLessThan(term);
    const elections = electionsDuring(world, () => {
      world.network.heal();
      world.run(10 * LONGEST_MS);
    });
    expect({ elections, terms: terms(world) }).toEqual({ elections: 0, terms: [term] });
    expect(world.hosts.map(commandsOn)).toEqual(Array(size).fill(["kept"]));
  });
});

/** All terms that anybody is in. */
function terms(world: World): number[] {
  return [...new Set(world.processes.map(({ node }) => node.state().term))];
}

function pairsOf({ hosts }: World): Host[][] {
  return hosts.flatMap((a, i) => hosts.slice(0, i).map((b) => [a, b]));
}

function breakLinks(a: Host, b: Host): void {
  a.process?.links.get(b.id)?.break();
  b.process?.links.get(a.id)?.break();
}
