import { expect, it } from "vitest";
import { type Call, LONGEST_MS, newWorld, readIndex, regularly, threeOf } from "./world.ts";

const HUNG_MS = 20_000;

it("that stands still for long holds up no read for longer than the election of another (PITFALL 42)", () => {
  const world = newWorld();
  const [leader, ...followers] = threeOf(world);
  const asked: Call[] = [];
  // More turns with reads than barriers may be on their way to one leader.
  regularly(world, 2, 400, () => asked.push(...followers.map((host) => readIndex(host))));
  leader.pause(HUNG_MS);
  regularly(world, 2, 400, () => asked.push(...followers.map((host) => readIndex(host))));

  expect(world.runUntil(() => world.leader !== undefined && world.leader.host !== leader, 3 * LONGEST_MS)).toBe(true);
  world.run(200);
  for (const { answers } of asked) expect(answers).toEqual([expect.any(Number)]);
  for (const host of followers) {
    const read = readIndex(host);
    world.run(50);
    expect(read.answers).toEqual([expect.any(Number)]);
  }
});
