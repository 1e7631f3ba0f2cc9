import type { Log } from "./log.ts";

const INTERVAL_MS = 10_000;

interface Interval {
  readonly beganMs: number;
  lines: number;
  /** Events of this interval without a line of their own. */
  unwritten: number;
}

/** The log of what is refused: whoever is refused may come again at once, for ever, and must not decide how long it gets. */
export class Refusals {
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #maxLines: number;
  /** By event: there are few. */
  readonly #intervals = new Map<string, Interval>();

  /** `maxLines` of one event are written in ten seconds. */
  constructor(log: Log, nowMs: () => number, maxLines: number) {
    this.#log = log;
    this.#nowMs = nowMs;
    this.#maxLines = maxLines;
  }

  /** Writes a line, or counts it for the next one. */
  note(event: string, fields: object): void {
    const nowMs = this.#nowMs();
    let interval = this.#intervals.get(event);
    let unwritten = 0;
    if (interval === undefined || nowMs - interval.beganMs >= INTERVAL_MS) {
      unwritten = interval?.unwritten ?? 0;
      interval = { beganMs: nowMs, lines: 0, unwritten: 0 };
      this.#intervals.set(event, interval);
    }
    if (interval.lines >= this.#maxLines) {
      interval.unwritten += 1;
      return;
    }
    interval.lines += 1;
    this.#log.warn(unwritten === 0 ? fields : { ...fields, unwrittenBefore: unwritten }, event);
  }
}
