/** Spreads bytes evenly over time, for all who share it. */
export class Pace {
  readonly #bytesPerMs: number;
  readonly #nowMs: () => number;
  /** What was let through so far has had its time by then. */
  #freeAtMs = Number.NEGATIVE_INFINITY;

  constructor(bytesPerSecond: number, nowMs: () => number) {
    this.#bytesPerMs = bytesPerSecond / 1_000;
    this.#nowMs = nowMs;
  }

  /** Resolves when so many more bytes may go. */
  async take(bytes: number): Promise<void> {
    const nowMs = this.#nowMs();
    const startMs = Math.max(this.#freeAtMs, nowMs);
    this.#freeAtMs = startMs + bytes / this.#bytesPerMs;
    if (startMs > nowMs) await new Promise<void>((resolve) => setTimeout(resolve, startMs - nowMs));
  }
}
