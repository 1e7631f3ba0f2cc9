import { expect, it } from "vitest";
import { isolate, leaderOf, newWorld, others, propose, readIndex, SHORTEST_MS, TICK_MS } from "./world.ts";

/** How often calls are looked through for those whose time is up, and a turn. */
const LATE_MS = 50 + TICK_MS;
const DEADLINE_MS = 300;

it("end the wait of a proposal and of a read at a node without a leader, not earlier and hardly later", () => {
  const world = newWorld();
  const leader = leaderOf(world);
  for (const host of world.hosts) isolate(world, host);
  world.run(4 * SHORTEST_MS);
  const [host = leader] = others(world, leader);
  const calls = [propose(host, "in time", { deadlineMs: DEADLINE_MS }), readIndex(host, { deadlineMs: DEADLINE_MS })];
  world.run(DEADLINE_MS - 1);
  for (const { answers } of calls) expect(answers).toEqual([]);
  world.run(LATE_MS);
  for (const { answers } of calls) expect(answers).toEqual(["NO_LEADER"]);
});

it("end the wait for a turn at a leader whose no-op can't commit", () => {
  const world = newWorld();
  leaderOf(world).crash(Number.POSITIVE_INFINITY);
  const isElected = (): boolean => world.leader !== undefined;
  expect(world.runUntil(isElected, 10_000)).toBe(true);
  const elect = world.leader?.host;
  for (const host of world.hosts) if (host !== elect) host.diskFaults.hungUntilMs = world.nowMs + 60_000;
  if (elect === undefined) throw new Error("somebody is elected");
  const call = propose(elect, "in time", { deadlineMs: DEADLINE_MS });
  world.run(DEADLINE_MS - 1);
  expect(call.answers).toEqual([]);
  world.run(LATE_MS);
  expect(call.answers).toEqual(["NOT_APPENDED"]);
});

it("end the wait of a read that a leader can't confirm", () => {
  const world = newWorld();
  const leader = leaderOf(world);
  for (const host of others(world, leader)) host.pause(10_000);
  const call = readIndex(leader, { deadlineMs: 100 });
  world.run(99);
  expect(call.answers).toEqual([]);
  world.run(LATE_MS);
  expect(call.answers).toEqual(["NO_LEADER"]);
});
