import { expect, it } from "vitest";
import { Ticker } from "../../src/node/ticker.ts";
import { ManualClock } from "./support.ts";

function newTicker() {
  const clock = new ManualClock();
  const counts: number[] = [];
  const ticker = new Ticker(clock, 10, 3, (count) => counts.push(count));
  return { clock, ticker, counts };
}

it("time becomes ticks, and none is lost to timers that come late", () => {
  const { clock, ticker, counts } = newTicker();
  clock.advance(50);
  ticker.start();
  for (let i = 0; i < 10; i++) clock.jump(14);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(14);
  ticker.stop();
  clock.advance(50);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(14);
});

it("of a pause only some ticks are made up: a node that slept listens before it takes the others for silent", () => {
  const { clock, ticker, counts } = newTicker();
  ticker.start();
  clock.jump(10_000);
  clock.jump(10);
  expect(counts).toEqual([3, 1]);
});
