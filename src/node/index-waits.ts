import type { Clock } from "../clock.ts";

interface Wait {
  readonly index: number;
  readonly then: (isThere: boolean) => void;
  readonly stop: () => void;
}

/** What waits until this node's tables are as of an index. Not for ever: a node may be cut off from whoever could tell it. */
export class IndexWaits {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  #waits = new Set<Wait>();
  /** Nothing waits for an earlier index. */
  #nearest = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** `then` is called once, whether or not the tables came there in time. */
  add(index: number, then: (isThere: boolean) => void): void {
    const stop = this.#clock.setTimer(this.#timeoutMs, () => {
      this.#waits.delete(wait);
      then(false);
    });
    const wait = { index, then, stop };
    this.#waits.add(wait);
    this.#nearest = Math.min(this.#nearest, index);
  }

  /** The tables are as of `index`. Called with every frame that a node takes in. */
  onIndex(index: number): void {
    if (index < this.#nearest) return;
    const waits = [...this.#waits];
    const due = waits.filter((wait) => wait.index <= index);
    const left = waits.filter((wait) => wait.index > index);
    this.#waits = new Set(left);
    this.#nearest = left.reduce((nearest, wait) => Math.min(nearest, wait.index), Number.POSITIVE_INFINITY);
    this.#answer(due, true);
  }

  /** They come no further. */
  endAll(): void {
    const waits = [...this.#waits];
    this.#waits.clear();
    this.#nearest = Number.POSITIVE_INFINITY;
    this.#answer(waits, false);
  }

  #answer(waits: readonly Wait[], isThere: boolean): void {
    for (const { stop } of waits) stop();
    for (const { then } of waits) then(isThere);
  }
}
