import { expect, it } from "vitest";
import { Watch } from "../../src/node/watch.ts";
import { commit, leaderOf, newWorld, nodeOf } from "./world.ts";

it("are forgotten when they no longer watch the state", () => {
  const state = { role: "follower", term: 1, leader: "", leaderAddress: "", leaderIndex: 0 } as const;
  const watch = new Watch(state);
  const terms: number[] = [];
  const leave = watch.add(({ term }) => terms.push(term));
  watch.maybeChange({ ...state, term: 2 });
  leave();
  watch.maybeChange({ ...state, term: 3 });
  expect(terms).toEqual([1, 2]);
});

it("are forgotten when they no longer wait for what is applied", () => {
  const world = newWorld();
  const leader = leaderOf(world);
  let told = 0;
  const leave = nodeOf(leader).onApplied(() => told++);
  commit(world, leader, "while it listens");
  expect(told).toBe(1);
  leave();
  commit(world, leader, "when it has left");
  expect(told).toBe(1);
});
