/** From one mark to the next, in bytes, at first. */
const STEP_BYTES = 1024 * 1024;
const MAX_MARKS = 4_096;

interface Mark {
  readonly index: number;
  /** Bytes of what was taken in to there. */
  readonly bytes: number;
}

/** How many bytes of the log follow an entry, to within a step. It is told of every frame. */
export class LogWeight {
  #bytes = 0;
  #stepBytes = STEP_BYTES;
  #marks: Mark[];

  /** What is taken in follows `start`. */
  constructor(start: number) {
    this.#marks = [{ index: start, bytes: 0 }];
  }

  /** A frame of so many bytes was taken in, the last entry of which is at `index`. */
  onTaken(index: number, bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes - (this.#marks.at(-1)?.bytes ?? 0) < this.#stepBytes) return;
    this.#marks.push({ index, bytes: this.#bytes });
    if (this.#marks.length < MAX_MARKS) return;
    this.#marks = this.#marks.filter((_, i) => i % 2 === 0);
    this.#stepBytes *= 2;
  }

  /** Never less than it is; undefined for an entry before the start, which isn't known. */
  after(index: number): number | undefined {
    const mark = this.#marks.findLast((each) => each.index <= index);
    return mark === undefined ? undefined : this.#bytes - mark.bytes;
  }
}
