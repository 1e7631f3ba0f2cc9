import { assert } from "../assert.ts";
import { sliceFrame, sliceFrameToBytes } from "./frame.ts";
import type { EntryId, Frame, TermStart } from "./types.ts";

/**
 * The log as the core sees it: the term of every entry, and the latest entries themselves. Older ones are on the disk
 * only and are fetched when a follower needs them.
 *
 * Guarantees: 1. indexes run from `base.index + 1` to `lastIndex` without a gap; 2. terms never fall; 3. the frames in
 * memory are contiguous and end at `lastIndex`.
 */
export class Log {
  #base: EntryId;
  #lastIndex: number;
  /** Ascending; the first one starts at `base.index + 1`. */
  #termStarts: TermStart[];
  #frames: Frame[] = [];
  #bytesInMemory = 0;

  constructor(base: EntryId, lastIndex: number, termStarts: readonly TermStart[]) {
    assert(lastIndex >= base.index, `the log ends at ${lastIndex}, before its base ${base.index}`);
    assert(
      lastIndex === base.index ? termStarts.length === 0 : termStarts[0]?.index === base.index + 1,
      `the log's terms do not start at its first entry ${base.index + 1}`,
    );
    for (const [i, start] of termStarts.entries()) {
      const previous = termStarts[i - 1] ?? base;
      assert(start.index > previous.index && start.term >= previous.term, `term ${start.term} is out of order`);
    }
    this.#base = base;
    this.#lastIndex = lastIndex;
    this.#termStarts = [...termStarts];
  }

  /** The entry before the first one: (0, 0), or one that a snapshot covers. */
  get base(): EntryId {
    return this.#base;
  }

  get firstIndex(): number {
    return this.base.index + 1;
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get lastId(): EntryId {
    return { index: this.#lastIndex, term: this.#termStarts.at(-1)?.term ?? this.base.term };
  }

  /** The first index that is in memory; `lastIndex + 1` when nothing is. */
  get firstInMemory(): number {
    return this.#frames[0]?.first ?? this.#lastIndex + 1;
  }

  get bytesInMemory(): number {
    return this.#bytesInMemory;
  }

  /** Term of the entry at `index`; that of the base at its index; undefined where the log does not reach. */
  termAt(index: number): number | undefined {
    if (index === this.base.index) return this.base.term;
    if (index < this.base.index || index > this.#lastIndex) return undefined;
    return this.#termStarts[this.#runOf(index)]?.term;
  }

  has(id: EntryId): boolean {
    return this.termAt(id.index) === id.term;
  }

  /**
   * The last entry at or before `id.index` whose term is at most `id.term`: the highest place where a log that holds
   * `id` can agree with this one. It skips a whole term at a time.
   */
  lastNotAfter(id: EntryId): EntryId {
    if (id.index <= this.base.index) return this.base;
    let index = Math.min(id.index, this.#lastIndex);
    for (let run = this.#runOf(index); run >= 0; run--) {
      const start = this.#termStarts[run];
      assert(start !== undefined, `run ${run} of the log's terms is missing`);
      if (start.term <= id.term) return { index, term: start.term };
      index = start.index - 1;
    }
    return this.base;
  }

  append(frame: Frame): void {
    const last = this.lastId;
    assert(frame.first === last.index + 1, `entry ${frame.first} is appended after ${last.index}`);
    assert(frame.term >= last.term, `term ${frame.term} is appended after ${last.term}`);
    if (this.#termStarts.length === 0 || frame.term !== last.term) {
      this.#termStarts.push({ index: frame.first, term: frame.term });
    }
    this.#frames.push(frame);
    this.#bytesInMemory += frame.bytes.length;
    this.#lastIndex = frame.last;
  }

  /** Removes `index` and everything after it. */
  truncateFrom(index: number): void {
    assert(index > this.base.index && index <= this.#lastIndex, `cannot truncate from ${index}`);
    for (let last = this.#frames.at(-1); last !== undefined && last.last >= index; last = this.#frames.at(-1)) {
      this.#frames.pop();
      this.#bytesInMemory -= last.bytes.length;
      if (last.first < index) {
        const kept = sliceFrame(last, last.first, index - 1);
        this.#frames.push(kept);
        this.#bytesInMemory += kept.bytes.length;
      }
    }
    while ((this.#termStarts.at(-1)?.index ?? 0) >= index) this.#termStarts.pop();
    this.#lastIndex = index - 1;
  }

  /** Forgets everything up to `index`, which is the base then. */
  compactTo(index: number): void {
    const term = this.termAt(index);
    assert(term !== undefined, `the log from ${this.firstIndex} to ${this.#lastIndex} can't begin after ${index}`);
    if (index === this.#base.index) return;
    const next = this.termAt(index + 1);
    const later = this.#termStarts.filter((start) => start.index > index + 1);
    this.#termStarts = next === undefined ? [] : [{ index: index + 1, term: next }, ...later];
    this.#base = { index, term };
    const kept = this.#frames.findIndex((frame) => frame.last > index);
    const dropped = this.#frames.splice(0, kept === -1 ? this.#frames.length : kept);
    for (const { bytes } of dropped) this.#bytesInMemory -= bytes.length;
    const [oldest] = this.#frames;
    if (oldest === undefined || oldest.first > index) return;
    const rest = sliceFrame(oldest, index + 1, oldest.last);
    this.#bytesInMemory += rest.bytes.length - oldest.bytes.length;
    this.#frames[0] = rest;
  }

  /** Forgets everything: the log is empty, and its next entry follows `base`. */
  resetTo(base: EntryId): void {
    this.#base = base;
    this.#lastIndex = base.index;
    this.#termStarts = [];
    this.#frames = [];
    this.#bytesInMemory = 0;
  }

  /**
   * The entries from `first` on, as many as fit in `maxBytes` but at least one; none when `first` is past the end;
   * undefined when `first` is no longer in memory.
   */
  framesFrom(first: number, maxBytes: number): Frame[] | undefined {
    if (first > this.#lastIndex) return [];
    if (first < this.firstInMemory) return undefined;
    const frames: Frame[] = [];
    let bytes = 0;
    for (let i = this.#frameOf(first); i < this.#frames.length; i++) {
      const whole = this.#frames[i];
      assert(whole !== undefined, `frame ${i} is missing`);
      const from = Math.max(first, whole.first);
      const frame = sliceFrameToBytes(whole, from, maxBytes - bytes);
      if (frames.length > 0 && bytes + frame.bytes.length > maxBytes) break;
      frames.push(frame);
      bytes += frame.bytes.length;
      if (frame.last < whole.last || bytes >= maxBytes) break;
    }
    return frames;
  }

  /**
   * Once more than `maxBytes` are in memory, forgets the oldest frames that end at or before `upTo`, an eighth of
   * `maxBytes` more than needed, so that this is rare.
   */
  evict(upTo: number, maxBytes: number): void {
    if (this.#bytesInMemory <= maxBytes) return;
    let evicted = 0;
    while (this.#bytesInMemory > maxBytes * (7 / 8)) {
      const oldest = this.#frames[evicted];
      if (oldest === undefined || oldest.last > upTo) break;
      this.#bytesInMemory -= oldest.bytes.length;
      evicted++;
    }
    this.#frames.splice(0, evicted);
  }

  /** Position in `#termStarts` of the term that `index` lies in. */
  #runOf(index: number): number {
    // Nearly all questions are about the latest terms.
    let run = this.#termStarts.length - 1;
    while (run > 0 && (this.#termStarts[run]?.index ?? 0) > index) run--;
    return run;
  }

  /** Position in `#frames` of the frame that holds `index`. */
  #frameOf(index: number): number {
    let low = 0;
    let high = this.#frames.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#frames[middle]?.last ?? 0) < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
