import type { Clock } from "../clock.ts";

/**
 * Turns time into ticks. After a pause, of the process or of the machine, only some of the missed ticks are made up:
 * a node that slept must listen before it concludes that everybody else is silent.
 */
export class Ticker {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #maxCatchUpTicks: number;
  readonly #onTicks: (count: number) => void;
  #lastMs: number;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, tickMs: number, maxCatchUpTicks: number, onTicks: (count: number) => void) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#maxCatchUpTicks = maxCatchUpTicks;
    this.#onTicks = onTicks;
    this.#lastMs = clock.nowMs();
  }

  start(): void {
    this.#lastMs = this.#clock.nowMs();
    this.#arm();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(): void {
    this.#cancel = this.#clock.setTimer(this.#tickMs, () => {
      const elapsed = Math.floor((this.#clock.nowMs() - this.#lastMs) / this.#tickMs);
      this.#arm();
      if (elapsed < 1) return;
      this.#lastMs += elapsed * this.#tickMs;
      this.#onTicks(Math.min(elapsed, this.#maxCatchUpTicks));
    });
  }
}
