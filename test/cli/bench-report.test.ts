import { expect, it } from "vitest";
import type { BenchPlan } from "../../src/cli/bench-options.ts";
import { reportOf, reportText } from "../../src/cli/bench-report.ts";
import { Tally } from "../../src/cli/bench-tally.ts";

const PLAN: BenchPlan = {
  mode: "stream",
  inFlight: 64,
  ratePerSecond: 500,
  sizeBytes: 256,
  warmUpMs: 1_000,
  durationMs: 2_000,
  timeoutMs: 10_000,
};

/** One thousand that took 1 ms to 1,000 ms, and what failed. */
function tallied(): Tally {
  const tally = new Tally(1_000, 3_000);
  for (let i = 1; i <= 1_000; i++) {
    tally.onSent(1_500, 1_500.5);
    tally.onAcknowledged(1_500, 1_500 + i);
  }
  tally.onFailed(1_600, "NO_LEADER");
  tally.onFailed(1_600, "OVERLOADED");
  tally.onFailed(1_600, "OVERLOADED");
  tally.onFailed(999, "OVERLOADED");
  tally.onNeverSent(3);
  return tally;
}

it("the report has counts, rates and percentiles, with their units", () => {
  const report = reportOf(PLAN, tallied(), "127.0.0.1:7420");
  const { latencyMs, ...rest } = report;
  expect(rest).toEqual({
    address: "127.0.0.1:7420",
    mode: "stream",
    inFlight: 64,
    ratePerSecond: 500,
    sizeBytes: 256,
    durationSeconds: 2,
    endedEarly: false,
    acknowledged: 1_000,
    acknowledgedPerSecond: 500,
    commandBytesPerSecond: 128_000,
    failed: 6,
    failures: { NOT_SENT: 3, OVERLOADED: 2, NO_LEADER: 1 },
    latencyFrom: "due",
    sendDelayMs: { p50: 0.5, p90: 0.5, p99: 0.5, p999: 0.5, max: 0.5 },
    entriesWritten: 1_000,
  });
  expect(latencyMs?.max).toBe(1_000);
  for (const [percentile, right] of [
    ["p50", 500],
    ["p90", 900],
    ["p99", 990],
    ["p999", 999],
  ] as const) {
    expect(latencyMs?.[percentile]).toBeGreaterThanOrEqual(right);
    expect(latencyMs?.[percentile]).toBeLessThanOrEqual(right * 1.001);
  }
});

it("answers that come after the measured time count for latency, not for the rate", () => {
  const tally = new Tally(0, 1_000);
  tally.onAcknowledged(900, 950);
  tally.onAcknowledged(900, 1_900);
  const report = reportOf(PLAN, tally, "a:1");
  expect(report).toMatchObject({ acknowledged: 2, acknowledgedPerSecond: 1, latencyMs: { max: 1_000 } });
});

it("for people it says from when latency counts, and what no percentile shows", () => {
  const text = reportText(reportOf(PLAN, tallied(), "a:1"));
  expect(text).toMatch(/^2 +1,000 +500\.0 +128,000 +6$/m);
  expect(text).toMatch(/^latency, from when due .* 1000$/m);
  expect(text).toMatch(/^OVERLOADED +2$/m);
  expect(text).toContain("3 were due and never sent, and no percentile counts them");

  const closed = reportText(reportOf({ ...PLAN, ratePerSecond: undefined }, tallied(), "a:1"));
  expect(closed).toContain("latency, from when sent");
  expect(closed).not.toContain("sent late by");
});

it("where nothing was measured there are no numbers to mistake for good ones", () => {
  const tally = new Tally(1_000, 3_000);
  tally.cut(500);
  const report = reportOf(PLAN, tally, "a:1");
  expect(report).toMatchObject({ durationSeconds: 0, acknowledgedPerSecond: 0, endedEarly: true, latencyMs: null });
  expect(reportText(report)).toMatch(/^latency, from when due +- +- +- +- +-$/m);
});
