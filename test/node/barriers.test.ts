import { describe, expect, it } from "vitest";
import type { Host, Process } from "../simulation/host.ts";
import type { World } from "../simulation/world.ts";
import {
  type Call,
  commit,
  electionsDuring,
  isolate,
  LONGEST_MS,
  leaderOf,
  NEVER,
  newWorld,
  nodeOf,
  others,
  propose,
  readIndex,
  regularly,
  threeOf,
} from "./world.ts";

/** A barrier, with all that was acknowledged to anybody before it was asked for. */
interface Asked extends Call {
  readonly process: Process;
  readonly acknowledged: number;
}

/** Asks for barriers at all nodes, and proposes, while `trouble` is made. Returns all that were asked for. */
function askDuring(world: World, trouble: (leader: Host) => void): Asked[] {
  const leader = leaderOf(world);
  const asked: Asked[] = [];
  let proposed: Call[] = [];
  let acknowledged = 0;
  world.scheduler.in(1_000, () => trouble(leader));
  regularly(world, 30, 5_000, (round) => {
    for (const { answers } of proposed)
      acknowledged = Math.max(acknowledged, ...answers.map((index) => Number(index) || 0));
    proposed = proposed.filter(({ answers }) => answers.length === 0);
    for (const { process } of world.hosts) {
      if (process !== undefined) asked.push({ ...readIndex(process.host), process, acknowledged });
    }
    const [host] = world.hosts.slice(round % world.hosts.length);
    if (host !== undefined) proposed.push(propose(host, `${round}`));
  });
  // As long as a barrier may wait, and a timer more.
  world.run(5_100);
  return asked;
}

describe("a read barrier", () => {
  const troubles: [string, (world: World, leader: Host) => void][] = [
    ["another is elected", (world, leader) => isolate(world, leader)],
    ["its leader crashes and comes back", (_, leader) => leader.crash(300)],
    ["its leader stands still for long", (_, leader) => leader.pause(3_000)],
    ["its leader drains and comes back", (_, leader) => leader.process?.drain(300)],
    [
      "all followers crash and come back",
      (world, leader) => {
        for (const host of others(world, leader)) host.crash(1_000);
      },
    ],
    ["its leader's disk fails", (_, leader) => Object.assign(leader.diskFaults, { failNext: true })],
    ["connections break", (world) => breakAll(world)],
    [
      "nobody can be elected",
      (world) => {
        for (const host of world.hosts) isolate(world, host);
      },
    ],
  ];
  it.each(troubles)(
    "is answered once, and not with less than was acknowledged before, when %s (PITFALL 42)",
    (_, trouble) => {
      for (const seed of [1, 2]) {
        const world = newWorld({ seed });
        const asked = askDuring(world, (leader) => trouble(world, leader));
        let confirmed = 0;
        for (const { process, acknowledged, answers } of asked) {
          const [answer] = answers;
          // Who was killed answers nobody.
          const owed = process.isAlive || process.hasStopped ? 1 : answers.length;
          expect(answers).toHaveLength(Math.min(owed, 1));
          if (typeof answer !== "number") continue;
          confirmed++;
          expect(answer).toBeGreaterThanOrEqual(acknowledged);
        }
        expect(confirmed).toBeGreaterThan(100);
      }
    },
  );

  it("is answered by who drains, before it is gone, and so is who forwarded it (PITFALL 42)", () => {
    const world = newWorld();
    const [leader, follower, other] = threeOf(world);
    // No quorum confirms anything any more.
    for (const host of [follower, other]) world.network.cut(host, leader);
    const atLeader = readIndex(leader);
    const atOther = readIndex(other);
    world.run(5);
    expect([atLeader.answers, atOther.answers]).toEqual([[], []]);
    let drained = false;
    other.process?.node.drain(() => {
      drained = true;
    });
    expect({ drained, answers: atOther.answers }).toEqual({ drained: true, answers: ["DRAINING"] });
    expect(readIndex(other).answers).toEqual(["DRAINING"]);
    leader.process?.node.drain(() => {});
    expect(atLeader.answers).toEqual(["DRAINING"]);
    world.run(10_000);
    expect([atLeader.answers, atOther.answers]).toEqual([["DRAINING"], ["DRAINING"]]);
  });
});

describe("a leader that has just been restarted with all others", () => {
  it.each([1, 3, 5])("of %i answers no barrier before it has committed in its term (PITFALLS 42, 43)", (size) => {
    for (const seed of [1, 2, 3]) {
      const world = newWorld({ size, seed });
      const acknowledged = Math.max(...commit(world, leaderOf(world), ..."abcdefghij"));
      world.run(LONGEST_MS);
      for (const host of world.hosts) host.crash(1);
      world.run(2);
      expect(nodeOf(world.hosts[0] ?? leaderOf(world)).state().commit).toBe(0);
      const elected = untilElected(world);
      // Nobody has its no-op on disk before this.
      for (const host of world.hosts) host.diskFaults.hungUntilMs = world.nowMs + 300;
      const calls = world.hosts.map((host) => readIndex(host));
      world.run(299);
      expect(nodeOf(elected).state()).toMatchObject({ role: "leader", commit: 0 });
      expect(calls.map(({ answers }) => answers)).toEqual(Array(size).fill([]));
      world.run(1_000);
      for (const { answers } of calls) {
        expect(answers).toEqual([expect.any(Number)]);
        expect(answers[0]).toBeGreaterThan(acknowledged);
      }
    }
  });

  it("doesn't answer while it alone is back, and answers with everything once others are (PITFALLS 42, 43)", () => {
    const world = newWorld();
    const [leader, follower, other] = threeOf(world);
    const [acknowledged = 0] = commit(world, leader, "acknowledged");
    for (const host of world.hosts) host.crash(NEVER);
    leader.start();
    let call: Call = { answers: [] };
    const elections = electionsDuring(world, () => {
      world.run(10 * LONGEST_MS);
      call = readIndex(leader);
      world.run(1_000);
    });
    expect({ elections, answers: call.answers }).toEqual({ elections: 0, answers: [] });
    follower.start();
    other.start();
    world.run(3_000);
    expect(call.answers).toEqual([expect.any(Number)]);
    expect(call.answers[0]).toBeGreaterThan(acknowledged);
  });
});

function untilElected(world: World): Host {
  expect(world.runUntil(() => world.leader !== undefined, 10_000)).toBe(true);
  const [elected] = world.hosts.filter(({ process }) => process !== undefined && process === world.leader);
  if (elected === undefined) throw new Error("somebody leads");
  return elected;
}

function breakAll(world: World): void {
  for (let afterMs = 0; afterMs < 3_000; afterMs += 40) {
    world.scheduler.in(afterMs, () => {
      for (const { links } of world.processes) for (const link of links.values()) link.break();
    });
  }
}
