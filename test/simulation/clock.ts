import type { Clock } from "../../src/clock.ts";
import type { Scheduler } from "./scheduler.ts";

/** From the end of an event to the turn that it asks for, so that what comes at the same time shares it. */
const DEFER_MS = 0.02;

/** A machine's clock: it may run fast or slow, and jump ahead. It never goes back: it is a monotonic one. */
export class HostClock {
  readonly #scheduler: Scheduler;
  #localMs: number;
  #sinceMs = 0;
  #rate = 1;

  constructor(scheduler: Scheduler, startMs: number) {
    this.#scheduler = scheduler;
    this.#localMs = startMs;
  }

  get nowMs(): number {
    return this.#localMs + (this.#scheduler.nowMs - this.#sinceMs) * this.#rate;
  }

  get rate(): number {
    return this.#rate;
  }

  /** Returns whether that changes anything. */
  setRate(rate: number): boolean {
    const isOther = rate !== this.#rate;
    this.jump(0);
    this.#rate = rate;
    return isOther;
  }

  /** Returns whether the clock stands elsewhere then. */
  jump(aheadMs: number): boolean {
    const beforeMs = this.nowMs;
    this.#localMs = this.nowMs + aheadMs;
    this.#sinceMs = this.#scheduler.nowMs;
    return this.nowMs > beforeMs;
  }

  /** The clock as one process sees it. What it asks for happens in `run`, which is silent once the process has ended. */
  port(run: (task: () => void) => void): Clock {
    const scheduler = this.#scheduler;
    return {
      nowMs: () => this.nowMs,
      setTimer: (delayMs, fire) => {
        const event = scheduler.in(delayMs / this.#rate, () => run(fire));
        return () => scheduler.cancel(event);
      },
      defer: (task) => {
        scheduler.in(DEFER_MS, () => run(task));
      },
    };
  }
}
