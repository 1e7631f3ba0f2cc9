import { describe, expect, it } from "vitest";
import type { Host } from "../simulation/host.ts";
import type { World } from "../simulation/world.ts";
import {
  type Call,
  commandsOn,
  electionsDuring,
  LONGEST_MS,
  leaderOf,
  newWorld,
  nodeOf,
  others,
  propose,
  regularly,
  SHORTEST_MS,
  TICK_MS,
} from "./world.ts";

/** On how many disks an entry is. */
const disksWith = (world: World, index: number): number =>
  world.hosts.filter(({ directory }) => directory.log.lastIndex >= index).length;

function slowDown(hosts: readonly Host[], writeMs: number): void {
  for (const { diskFaults } of hosts) Object.assign(diskFaults, { minWriteMs: writeMs, maxWriteMs: writeMs });
}

describe("followers whose disks are slow", () => {
  // Longer than a heartbeat's answer may take; and longer than an election timeout.
  it.each([300, 900])("depose nobody, with %i ms for a write, however much is proposed (PITFALL 51)", (writeMs) => {
    for (const size of [3, 5]) {
      const world = newWorld({ size });
      const leader = leaderOf(world);
      slowDown(others(world, leader), writeMs);
      const { term } = nodeOf(leader).state();
      const elections = electionsDuring(world, () => {
        regularly(world, 50, 20_000, (round) => propose(leader, `${round}`));
        world.run(5_000);
      });
      expect({ elections, term: nodeOf(leader).state().term }).toEqual({ elections: 0, term });
      expect(world.leader?.host).toBe(leader);
    }
  });

  it.each([300, 900])(
    "let nothing be acknowledged before it is on a majority's disks, at %i ms (PITFALL 51)",
    (writeMs) => {
      const world = newWorld();
      const leader = leaderOf(world);
      slowDown(others(world, leader), writeMs);
      for (let round = 0; round < 10; round++) {
        const startMs = world.nowMs;
        const { answers } = propose(leader, `${round}`);
        expect(world.runUntil(() => answers.length > 0, 5_000)).toBe(true);
        expect(disksWith(world, Number(answers[0]))).toBeGreaterThanOrEqual(2);
        expect(world.nowMs - startMs).toBeGreaterThan(writeMs);
      }
    },
  );

  it.each([
    [300, 50],
    [100, 20],
    [15, 5],
  ])(
    "sync together what comes while they write: with %i ms for a write, and a command every %i ms, it waits for three",
    (writeMs, intervalMs) => {
      const world = newWorld();
      const leader = leaderOf(world);
      slowDown(others(world, leader), writeMs);
      const lateMs = 3 * writeMs + 10;
      const late: string[] = [];
      regularly(world, intervalMs, 5_000, (round) => {
        const { answers } = propose(leader, `${round}`);
        world.scheduler.in(lateMs, () => {
          if (typeof answers[0] !== "number") late.push(`${round} has no index after ${lateMs} ms`);
        });
      });
      world.run(lateMs);
      expect(late).toEqual([]);
    },
  );
});

describe("a leader whose disk hangs, heartbeats still flowing", () => {
  it.each([3, 5])("gives up, and another of %i serves within a few election timeouts (PITFALL 53)", (size) => {
    const world = newWorld({ size });
    const leader = leaderOf(world);
    leader.diskFaults.hungUntilMs = world.nowMs + 20_000;
    const calls: Call[] = [propose(leader, "in the log of a hung disk")];
    const isDeposed = (): boolean => nodeOf(leader).state().role !== "leader";
    expect(world.runUntil(isDeposed, 2 * SHORTEST_MS + TICK_MS)).toBe(true);
    const next = leaderOf(world, 3 * LONGEST_MS);
    expect(next).not.toBe(leader);
    for (const host of world.hosts) calls.push(propose(host, `at ${host.id}`));
    world.run(LONGEST_MS);
    const [atOld, ...later] = calls.map(({ answers }) => answers);
    expect(atOld).toHaveLength(1);
    for (const answers of later) expect(answers).toEqual([expect.any(Number)]);
    // Its disk holds up the term that it has entered meanwhile, so it has said nothing; it is well again in the end.
    world.run(20_000);
    expect(nodeOf(leader).state()).toMatchObject({ leader: next.id, last: nodeOf(next).state().last });
    expect(commandsOn(leader)).toEqual(commandsOn(next));
  });
});
