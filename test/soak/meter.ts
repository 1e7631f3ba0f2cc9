import { createHistogram } from "node:perf_hooks";

/** Milliseconds, of what was acknowledged since the last look; 0 where nothing was. */
export interface Interval {
  readonly acknowledged: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const MICROSECONDS = 1_000;
const MAX_MICROSECONDS = 3_600_000_000;

/** Times of one interval after the other, in a bounded memory. */
export class Meter {
  readonly #histogram = createHistogram({ lowest: 1, highest: MAX_MICROSECONDS, figures: 3 });

  record(ms: number): void {
    this.#histogram.record(Math.min(MAX_MICROSECONDS, Math.max(1, Math.round(ms * MICROSECONDS))));
  }

  /** Begins the next interval. */
  take(): Interval {
    const acknowledged = this.#histogram.count;
    const at = (percentile: number): number =>
      acknowledged === 0 ? 0 : Math.min(this.#histogram.percentile(percentile), this.#histogram.max) / MICROSECONDS;
    const interval = { acknowledged, p50: at(50), p99: at(99), max: at(100) };
    this.#histogram.reset();
    return interval;
  }
}
