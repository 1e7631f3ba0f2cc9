import { describe, expect, it } from "vitest";
import type { Host } from "../simulation/host.ts";
import type { World } from "../simulation/world.ts";
import { type Call, commit, isolate, leaderOf, NEVER, newWorld, nodeOf, others, propose, threeOf } from "./world.ts";

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `command ${i}`);

function answerTo(world: World, host: Host, sequence: number): Call["answers"][number] | undefined {
  const conditions = { id: { clientId: "c", sequence }, expectedTerm: 0 };
  const { answers } = propose(host, "named", { conditions });
  world.runUntil(() => answers.length > 0, 10_000);
  return answers[0];
}

/** All that is applied at `host` becomes a snapshot, and the logs of all `hosts` begin after it. */
function cutOff(world: World, host: Host, hosts: readonly Host[]): void {
  const { process } = host;
  if (process === undefined) throw new Error(`${host.id} runs`);
  const { snapshots } = process.node;
  const last = snapshots.check(process.node.state().applied, 0);
  snapshots.add(world.shelf.put(process, last, new Map()), () => {});
  const isCut = (each: Host): boolean => nodeOf(each).state().first > last.index;
  expect(world.runUntil(() => hosts.every(isCut), 60_000)).toBe(true);
}

/** Elections are held until it leads. */
function makeLeader(world: World, host: Host): void {
  for (let i = 0; i < 50 && leaderOf(world) !== host; i++) {
    leaderOf(world).crash(100);
    world.run(3_000);
  }
  expect(leaderOf(world)).toBe(host);
}

describe("a retry of what only a snapshot remembers (PITFALLS 44, 45)", () => {
  it("is answered with the place of the original, also after all nodes have started anew", () => {
    const world = newWorld({ node: { catchUpEntries: 0 } });
    const [leader] = threeOf(world);
    const index = answerTo(world, leader, 1);
    commit(world, leader, ...names(5));
    cutOff(world, leader, world.hosts);
    for (let round = 0; round < 2; round++) {
      const { last } = nodeOf(leaderOf(world)).state();
      for (const host of world.hosts) expect(answerTo(world, host, 1)).toBe(index);
      expect(nodeOf(leaderOf(world)).state().last).toBe(last);
      for (const host of world.hosts) host.crash(NEVER);
      for (const host of world.hosts) host.start();
      world.run(3_000);
    }
  });

  it("is known as well to a leader whose log was replaced, and to one that made its snapshot from another", () => {
    const world = newWorld({ node: { catchUpEntries: 0 } });
    const [leader, , other] = threeOf(world);
    isolate(world, other);
    const indexes: unknown[] = [];
    for (const sequence of [1, 2, 3]) {
      indexes.push(answerTo(world, leader, sequence));
      commit(world, leader, ...names(5));
      cutOff(world, leader, others(world, other));
    }
    world.network.heal();
    expect(world.runUntil(() => nodeOf(other).state().first > 6, 20_000)).toBe(true);
    expect(world.counters.get("logs replaced")).toBe(1);
    for (const host of [other, leader]) {
      makeLeader(world, host);
      expect([1, 2, 3].map((sequence) => answerTo(world, host, sequence))).toEqual(indexes);
      expect(answerTo(world, host, host === other ? 4 : 5)).toBe(nodeOf(host).state().last);
    }
  });
});
