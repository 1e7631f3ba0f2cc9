import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

/** What is longer counts as this long: an hour. */
const MAX_MICROSECONDS = 3_600_000_000;

/** The reason of what was due and not sent before the end. */
export const NOT_SENT = "NOT_SENT";

/** Times in milliseconds, from an HDR histogram: each but the maximum at most 0.1 % too high. */
export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Durations, in a bounded memory. */
class Durations {
  readonly #histogram: RecordableHistogram = createHistogram({ lowest: 1, highest: MAX_MICROSECONDS, figures: 3 });
  #maxMicroseconds = 0;

  record(durationMs: number): void {
    const microseconds = Math.min(MAX_MICROSECONDS, Math.max(1, Math.round(durationMs * 1_000)));
    this.#histogram.record(microseconds);
    this.#maxMicroseconds = Math.max(this.#maxMicroseconds, microseconds);
  }

  /** Undefined when there are none. */
  percentiles(): Percentiles | undefined {
    if (this.#histogram.count === 0) return undefined;
    const at = (percentile: number): number =>
      Math.min(this.#histogram.percentile(percentile), this.#maxMicroseconds) / 1_000;
    return { p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: this.#maxMicroseconds / 1_000 };
  }
}

/**
 * What became of the proposals. Counted are those that were due in the measured time, whenever they were answered; the
 * rest is warm-up.
 */
export class Tally {
  readonly fromMs: number;
  #toMs: number;
  #isCut = false;
  /** Also in the warm-up: so many entries more the log has at least. */
  allAcknowledged = 0;
  /** Also in the warm-up. */
  allFailed = 0;
  acknowledged = 0;
  failed = 0;
  /** Answers that came in the measured time, whenever their proposals were due: what the cluster got done in it. */
  acknowledgedInTime = 0;
  readonly #failures = new Map<string, number>();
  readonly #latency = new Durations();
  readonly #sendDelay = new Durations();

  /** The measured time: from `fromMs` to before `toMs`. */
  constructor(fromMs: number, toMs: number) {
    this.fromMs = fromMs;
    this.#toMs = toMs;
  }

  get toMs(): number {
    return this.#toMs;
  }

  /** Whether it ends sooner than it was to. */
  get isCut(): boolean {
    return this.#isCut;
  }

  get measuredMs(): number {
    return Math.max(0, this.#toMs - this.fromMs);
  }

  /** By reason, the most frequent first. */
  get failures(): [reason: string, count: number][] {
    return [...this.#failures].sort(([, a], [, b]) => b - a);
  }

  /** Of the acknowledged, from when they were due. */
  get latency(): Percentiles | undefined {
    return this.#latency.percentiles();
  }

  /** Of all that were sent, from when they were due until they were sent. */
  get sendDelay(): Percentiles | undefined {
    return this.#sendDelay.percentiles();
  }

  /** Nothing is due from `atMs` on. */
  cut(atMs: number): void {
    if (atMs >= this.#toMs) return;
    this.#toMs = atMs;
    this.#isCut = true;
  }

  onSent(dueMs: number, sentMs: number): void {
    if (this.#isMeasured(dueMs)) this.#sendDelay.record(sentMs - dueMs);
  }

  onAcknowledged(dueMs: number, nowMs: number): void {
    this.allAcknowledged++;
    if (this.#isMeasured(nowMs)) this.acknowledgedInTime++;
    if (!this.#isMeasured(dueMs)) return;
    this.acknowledged++;
    this.#latency.record(nowMs - dueMs);
  }

  onFailed(dueMs: number, reason: string): void {
    this.allFailed++;
    if (this.#isMeasured(dueMs)) this.#addFailures(reason, 1);
  }

  /** So many were due in the measured time and never sent. */
  onNeverSent(count: number): void {
    if (count > 0) this.#addFailures(NOT_SENT, count);
  }

  #addFailures(reason: string, count: number): void {
    this.failed += count;
    this.#failures.set(reason, (this.#failures.get(reason) ?? 0) + count);
  }

  #isMeasured(timeMs: number): boolean {
    return timeMs >= this.fromMs && timeMs < this.#toMs;
  }
}
