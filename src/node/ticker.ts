import type { Clock } from "../clock.ts";

/**
 * Turns time into ticks. Nothing wakes for ticks that change nothing: they are counted when somebody asks, and the clock
 * only when as many have passed as matter. After a pause, of the process or of the machine, only some of the missed ticks
 * are made up: a node that slept must listen before it concludes that everybody else is silent.
 */
export class Ticker {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #maxCatchUpTicks: number;
  readonly #onDue: () => void;
  /** When the last tick was that has been taken. */
  #lastMs = 0;
  /** So many ticks after that the timer is set; undefined while time doesn't count. */
  #sleepTicks: number | undefined;
  #cancel: () => void = () => {};

  constructor(clock: Clock, tickMs: number, maxCatchUpTicks: number, onDue: () => void) {
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#maxCatchUpTicks = maxCatchUpTicks;
    this.#onDue = onDue;
  }

  /** From now on time counts. */
  start(): void {
    this.#lastMs = this.#clock.nowMs();
    this.#sleepTicks = 0;
    this.sleep(1);
  }

  stop(): void {
    this.#cancel();
    this.#sleepTicks = undefined;
  }

  /** How many ticks have passed since the last call. */
  take(): number {
    if (this.#sleepTicks === undefined) return 0;
    const elapsed = Math.floor((this.#clock.nowMs() - this.#lastMs) / this.#tickMs);
    if (elapsed < 1) return 0;
    const late = elapsed - this.#sleepTicks;
    this.#lastMs += elapsed * this.#tickMs;
    this.#sleepTicks = 0;
    return late > this.#maxCatchUpTicks ? this.#maxCatchUpTicks : elapsed;
  }

  /**
   * Calls `onDue` once `ticks` have passed, and sooner when they are more than are made up of a pause: a pause in a sleep
   * can't be told from it.
   */
  sleep(ticks: number): void {
    if (this.#sleepTicks === undefined) return;
    this.#cancel();
    this.#sleepTicks = Math.max(1, Math.min(ticks, this.#maxCatchUpTicks));
    const dueMs = this.#lastMs + this.#sleepTicks * this.#tickMs;
    // A timer that is early by a fraction would find that the tick hasn't passed yet.
    this.#cancel = this.#clock.setTimer(Math.max(0, Math.ceil(dueMs - this.#clock.nowMs())), this.#onDue);
  }
}
