import { expect, it } from "vitest";
import { type Failed, Load, type Outlet } from "../../src/cli/bench-load.ts";
import type { BenchPlan } from "../../src/cli/bench-options.ts";
import { ManualClock } from "../node/support.ts";

const PLAN: BenchPlan = {
  mode: "stream",
  inFlight: 10,
  ratePerSecond: undefined,
  sizeBytes: 1,
  warmUpMs: 0,
  durationMs: 1_000,
  timeoutMs: 500,
};

const OVERLOADED = failure("OVERLOADED", 200);

function failure(reason: string, retryAfterMs?: number): Failed {
  return { reason, retryAfterMs, error: new Error(reason) };
}

/** A cluster that answers when the test says so. */
class Answering implements Outlet {
  readonly load: Load;
  readonly clock = new ManualClock();
  ready = true;
  /** When each was sent. */
  readonly sentMs: number[] = [];
  ended = false;
  #answered = 0;

  constructor(plan: Partial<BenchPlan>) {
    this.load = new Load({ ...PLAN, ...plan }, this.clock, this);
    void this.load.ended.then(() => {
      this.ended = true;
    });
    this.load.onReady();
  }

  get unanswered(): number {
    return this.sentMs.length - this.#answered;
  }

  send(numbers: readonly number[]): void {
    for (const number of numbers) {
      expect(number).toBe(this.sentMs.length);
      this.sentMs.push(this.clock.nowMs());
    }
  }

  /** The oldest ones. */
  answer(count: number, failed?: Failed): void {
    const first = this.#answered;
    this.#answered += count;
    this.load.onAnswers(Array.from({ length: count }, (_, i) => ({ number: first + i, failed })));
  }

  /** Lets time pass, each answer coming at once. */
  healthyFor(ms: number): void {
    for (let i = 0; i < ms; i++) {
      if (this.unanswered > 0) this.answer(this.unanswered);
      this.clock.advance(1);
    }
    if (this.unanswered > 0) this.answer(this.unanswered);
  }
}

it("in an open loop latency counts from when a proposal was due, however late it could be sent", () => {
  // One each 10 ms, two in flight, and a cluster that is silent from 200 ms to 700 ms.
  const cluster = new Answering({ ratePerSecond: 100, inFlight: 2 });
  cluster.healthyFor(199);
  cluster.clock.advance(501);
  expect(cluster.sentMs).toHaveLength(22);
  cluster.healthyFor(400);
  expect(cluster.sentMs).toHaveLength(100);

  const { acknowledged, failed, latency, sendDelay } = cluster.load.tally;
  expect({ acknowledged, failed }).toEqual({ acknowledged: 100, failed: 0 });
  // 50 of the 100 were due in the silence. From when they were sent, only two of them waited.
  expect(latency?.p50).toBeGreaterThanOrEqual(2);
  expect(latency?.p90).toBeGreaterThan(350);
  expect(latency?.max).toBe(500);
  expect(sendDelay?.max).toBeGreaterThan(450);
});

it("in a closed loop latency counts from when a proposal was sent: the same silence is hardly seen", () => {
  const cluster = new Answering({ inFlight: 2 });
  cluster.healthyFor(200);
  cluster.clock.advance(500);
  cluster.healthyFor(300);
  const { latency, sendDelay, acknowledged } = cluster.load.tally;
  expect(acknowledged).toBe(cluster.sentMs.length);
  expect(latency?.max).toBe(500);
  expect(latency?.p99).toBeLessThanOrEqual(1.01);
  expect(sendDelay?.max).toBe(0.001);
});

it("proposals of an open loop are sent at their moments whether or not earlier ones are answered, up to the bound", () => {
  const cluster = new Answering({ ratePerSecond: 200, inFlight: 4 });
  cluster.clock.advance(12);
  expect(cluster.sentMs).toEqual([0, 5, 10]);
  cluster.clock.advance(88);
  expect(cluster.sentMs).toEqual([0, 5, 10, 15]);
  cluster.answer(1);
  expect(cluster.sentMs).toEqual([0, 5, 10, 15, 100]);
});

it("a closed loop keeps the bound full, and ends with the last answer after its time", async () => {
  const cluster = new Answering({ inFlight: 3 });
  expect(cluster.unanswered).toBe(3);
  cluster.answer(2);
  expect(cluster.unanswered).toBe(3);
  cluster.clock.advance(1_000);
  cluster.answer(2);
  expect(cluster.unanswered).toBe(1);
  cluster.answer(1);
  await cluster.load.ended;
  const { acknowledged, acknowledgedInTime, failed } = cluster.load.tally;
  expect({ acknowledged, acknowledgedInTime, failed }).toEqual({ acknowledged: 5, acknowledgedInTime: 2, failed: 0 });
});

it("the warm-up is load, but isn't measured", () => {
  const cluster = new Answering({ ratePerSecond: 100, warmUpMs: 300, durationMs: 500 });
  cluster.healthyFor(900);
  const { acknowledged, acknowledgedInTime, allAcknowledged } = cluster.load.tally;
  expect({ acknowledged, acknowledgedInTime, allAcknowledged }).toEqual({
    acknowledged: 50,
    acknowledgedInTime: 50,
    allAcknowledged: 80,
  });
});

it("after a refusal nothing is sent for as long as the node asks, and failures are counted by reason", () => {
  const cluster = new Answering({ inFlight: 4 });
  cluster.answer(2, OVERLOADED);
  expect(cluster.unanswered).toBe(2);
  cluster.clock.advance(199);
  cluster.answer(1);
  expect(cluster.unanswered).toBe(1);
  cluster.clock.advance(1);
  expect(cluster.unanswered).toBe(4);
  cluster.answer(1, failure("OUTCOME_UNKNOWN"));
  expect(cluster.unanswered).toBe(3);
  cluster.clock.advance(50);
  expect(cluster.unanswered).toBe(4);
  expect(cluster.load.tally.failures).toEqual([
    ["OVERLOADED", 2],
    ["OUTCOME_UNKNOWN", 1],
  ]);
});

it("what is due while there is no connection is sent when there is one, and has waited since it was due", () => {
  const cluster = new Answering({ ratePerSecond: 100, inFlight: 100 });
  cluster.healthyFor(100);
  cluster.ready = false;
  cluster.clock.advance(300);
  expect(cluster.unanswered).toBe(0);
  cluster.ready = true;
  cluster.load.onReady();
  expect(cluster.unanswered).toBe(30);
  cluster.answer(30);
  expect(cluster.load.tally.latency?.max).toBe(290);
});

it("what can't be sent within the longest wait after the end counts as not sent, and what isn't answered as such", async () => {
  const cluster = new Answering({ ratePerSecond: 100, inFlight: 5 });
  cluster.healthyFor(200);
  cluster.clock.advance(1_299);
  expect(cluster.ended).toBe(false);
  cluster.clock.advance(1);
  await cluster.load.ended;
  const { acknowledged, failed, failures } = cluster.load.tally;
  expect({ acknowledged, failed }).toEqual({ acknowledged: 21, failed: 79 });
  expect(failures).toEqual([
    ["NOT_SENT", 74],
    ["UNANSWERED", 5],
  ]);
});

it("a run that is stopped counts what it measured until then, and waits for answers for a second only", async () => {
  const cluster = new Answering({ durationMs: 60_000, timeoutMs: 10_000, ratePerSecond: 100 });
  cluster.healthyFor(500);
  cluster.load.stop();
  cluster.clock.advance(1_000);
  await cluster.load.ended;
  const { acknowledged, failed, measuredMs } = cluster.load.tally;
  expect({ acknowledged, failed, measuredMs }).toEqual({ acknowledged: 51, failed: 0, measuredMs: 500 });
});

it("without one acknowledgement in 10 s the run ends; with one it goes on", async () => {
  const plan = { durationMs: 60_000, timeoutMs: 10_000, ratePerSecond: 1 };
  const [silent, slow] = [new Answering(plan), new Answering(plan)];
  slow.answer(1);
  for (const { clock } of [silent, slow]) clock.advance(11_000);
  await silent.load.ended;
  expect(silent.load.tally.measuredMs).toBe(10_000);
  expect(slow.ended).toBe(false);
});

it("a refusal that no proposal can escape ends the run at once, without one acknowledgement", () => {
  const cluster = new Answering({});
  cluster.answer(1, failure("INVALID_ARGUMENT"));
  cluster.answer(9, failure("INVALID_ARGUMENT"));
  cluster.clock.advance(1_000);
  expect(cluster.sentMs).toHaveLength(10);
  expect(cluster.load.lastFailed?.reason).toBe("INVALID_ARGUMENT");
});
