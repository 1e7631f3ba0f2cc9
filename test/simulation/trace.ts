/** Kinds of events. */
export const EVENTS = {
  turn: 1,
  sent: 2,
  arrived: 3,
  told: 4,
  delivered: 5,
  called: 6,
  answered: 7,
} as const;

/** What happened, as a digest that equal runs share, and, when somebody wants to read it, as lines. */
export class Trace {
  #hash = 0x811c9dc5;
  #events = 0;
  readonly #transcript: ((line: string) => void) | undefined;

  constructor(transcript?: (line: string) => void) {
    this.#transcript = transcript;
  }

  get digest(): number {
    return this.#hash;
  }

  get events(): number {
    return this.#events;
  }

  /** Numbers that tell this event from others: what it is, of whom, and when. */
  note(what: number, who: number, value: number): void {
    this.#events++;
    let hash = this.#hash;
    hash = Math.imul(hash ^ what, 0x01000193);
    hash = Math.imul(hash ^ who, 0x01000193);
    // The low bits of a time tell runs apart that have drawn other numbers anywhere.
    hash = Math.imul(hash ^ (value * 4096), 0x01000193);
    this.#hash = hash >>> 0;
  }

  /** A line for people. It is only made when somebody reads. */
  say(atMs: number, line: () => string): void {
    this.#transcript?.(`${(atMs / 1000).toFixed(4).padStart(9)} s  ${line()}`);
  }
}
