import { expect, it } from "vitest";
import { Ticker } from "../../src/node/ticker.ts";
import { ManualClock } from "./support.ts";

/** A ticker of 10 ms ticks that makes up 3 of a pause, and whoever it wakes: it wants to be woken each `sleepTicks`. */
function newTicker(sleepTicks: number) {
  const clock = new ManualClock();
  const taken: { readonly atMs: number; readonly ticks: number }[] = [];
  const ticker = new Ticker(clock, 10, 3, () => {
    taken.push({ atMs: clock.nowMs(), ticks: ticker.take() });
    ticker.sleep(sleepTicks);
  });
  const total = (): number => taken.reduce((sum, { ticks }) => sum + ticks, 0);
  return { clock, ticker, taken, total };
}

it("time becomes ticks, and none is lost to timers that come late", () => {
  for (const sleepTicks of [1, 2, 3]) {
    const { clock, ticker, total } = newTicker(sleepTicks);
    clock.advance(50);
    ticker.start();
    for (let i = 0; i < 30; i++) clock.jump(14);
    expect(total() + ticker.take()).toBe(42);
    ticker.stop();
    clock.advance(50);
    expect(ticker.take()).toBe(0);
  }
});

it("nobody is woken before so many ticks have passed as matter", () => {
  const { clock, ticker, taken } = newTicker(3);
  ticker.start();
  clock.advance(100);
  expect(taken.map(({ atMs }) => atMs)).toEqual([10, 40, 70, 100]);
});

it("who asks in between gets the ticks until then, and can be woken sooner or later than it said", () => {
  const { clock, ticker, taken } = newTicker(3);
  ticker.start();
  clock.advance(25);
  expect(ticker.take()).toBe(1);
  ticker.sleep(1);
  clock.advance(5);
  expect(taken.at(-1)).toEqual({ atMs: 30, ticks: 1 });
  clock.advance(20);
  expect(ticker.take()).toBe(2);
  ticker.sleep(3);
  clock.advance(29);
  expect(taken).toHaveLength(2);
  clock.advance(1);
  expect(taken.at(-1)).toEqual({ atMs: 80, ticks: 3 });
});

it("who needs to be woken by nothing is woken after as much as is made up of a pause", () => {
  const { clock, ticker, taken } = newTicker(1_000);
  ticker.start();
  clock.advance(100);
  expect(taken.map(({ atMs }) => atMs)).toEqual([10, 40, 70, 100]);
});

it("of a pause only some ticks are made up: a node that slept listens before it takes the others for silent", () => {
  for (const sleepTicks of [1, 3, 1_000]) {
    const { clock, ticker, taken } = newTicker(sleepTicks);
    ticker.start();
    clock.advance(10);
    clock.jump(10_000);
    clock.advance(10);
    expect(taken.map(({ ticks }) => ticks).slice(0, 2)).toEqual([1, 3]);
  }
});

it("before its start and after its end time doesn't count", () => {
  const { clock, ticker, taken } = newTicker(1);
  ticker.sleep(1);
  clock.advance(100);
  expect(ticker.take()).toBe(0);
  ticker.start();
  clock.advance(10);
  ticker.stop();
  ticker.sleep(1);
  clock.advance(100);
  expect(taken).toHaveLength(1);
});
