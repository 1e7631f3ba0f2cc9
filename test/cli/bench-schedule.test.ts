import fc from "fast-check";
import { expect, it } from "vitest";
import { closedLoop, openLoop } from "../../src/cli/bench-schedule.ts";

it("an open loop's proposals are due at even moments, whenever it is asked", () => {
  const schedule = openLoop(1_000, 4);
  const due = (nowMs: number): number[] => [0, 1, 2, 3, 4].map((number) => schedule.dueMs(number, nowMs));
  expect(due(0)).toEqual([1_000, 1_250, 1_500, 1_750, 2_000]);
  expect(due(9_999)).toEqual(due(0));
  expect([999, 1_000, 1_001, 1_250, 1_251, 2_000].map(schedule.countBefore)).toEqual([0, 0, 1, 1, 2, 4]);
});

it("an open loop counts exactly those that are due before a time, at whatever rate", () => {
  const startMs = fc.double({ min: 0, max: 1e9, noNaN: true });
  const rate = fc.integer({ min: 1, max: 1_000_000 });
  const afterMs = fc.double({ min: 0, max: 86_400_000, noNaN: true });
  fc.assert(
    fc.property(startMs, rate, afterMs, (start, perSecond, after) => {
      const { dueMs, countBefore } = openLoop(start, perSecond);
      const timeMs = start + after;
      const count = countBefore(timeMs);
      expect(dueMs(count, 0)).toBeGreaterThanOrEqual(timeMs);
      if (count > 0) expect(dueMs(count - 1, 0)).toBeLessThan(timeMs);
    }),
  );
});

it("a closed loop's proposals are due when they can be sent, and none is ever owed", () => {
  expect(closedLoop.dueMs(7, 123)).toBe(123);
  expect(closedLoop.countBefore(1e9)).toBe(0);
});
