const EVERY_MS = 500;

/** Shows on standard error how many bytes have gone by, on one line, where that is a terminal. */
export class ByteProgress {
  readonly #done: string;
  readonly #startMs = performance.now();
  #bytes = 0;
  #shownMs = 0;

  /** `done` says what became of the bytes, as in "sent". */
  constructor(done: string) {
    this.#done = done;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    const nowMs = performance.now();
    if (!process.stderr.isTTY || nowMs - this.#shownMs < EVERY_MS) return;
    this.#shownMs = nowMs;
    const mib = this.#bytes / 1024 / 1024;
    const rate = mib / Math.max(0.001, (nowMs - this.#startMs) / 1_000);
    process.stderr.write(`\r\x1b[K${mib.toFixed(0)} MiB ${this.#done}, ${rate.toFixed(0)} MiB/s`);
  }

  /** Erases the line. */
  end(): void {
    if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  }
}
