import { assert } from "../assert.ts";
import type { EntryId } from "../raft/types.ts";

/** Forgotten entries are cut off all at once: when there are so many, and more than are remembered. */
const MIN_CUT = 8;

/** The entries that are remembered of one client, by their sequences. */
export class Window {
  /** Ascending. The entry of `#sequences[i]` has the index `#indexes[i]` and the term `#terms[i]`. */
  #sequences: number[] = [];
  #indexes: number[] = [];
  #terms: number[] = [];
  /** Everything before this position is forgotten. */
  #start = 0;
  /** Whether the indexes ascend as well, as they do while a client's proposals are taken in in order. */
  #isOrdered = true;
  /** No entry that is remembered has a lower index. */
  #lowestIndex = Number.POSITIVE_INFINITY;

  get size(): number {
    return this.#sequences.length - this.#start;
  }

  add(sequence: number, { index, term }: EntryId): void {
    const at = this.#positionOf(sequence);
    assert(this.#sequences[at] !== sequence, `sequence ${sequence} is in the log twice, the second time at ${index}`);
    if (at < this.#sequences.length || index < (this.#indexes[at - 1] ?? 0)) this.#isOrdered = false;
    if (at === this.#sequences.length) {
      this.#sequences.push(sequence);
      this.#indexes.push(index);
      this.#terms.push(term);
    } else {
      this.#sequences.splice(at, 0, sequence);
      this.#indexes.splice(at, 0, index);
      this.#terms.splice(at, 0, term);
    }
    this.#lowestIndex = Math.min(this.#lowestIndex, index);
  }

  find(sequence: number): EntryId | undefined {
    const at = this.#positionOf(sequence);
    if (this.#sequences[at] !== sequence) return undefined;
    return { index: this.#indexes[at] ?? 0, term: this.#terms[at] ?? 0 };
  }

  /**
   * Forgets what is at or below one of the two, and with it whatever has a lower sequence. Returns the highest sequence
   * that it forgot, or 0.
   */
  forget(upToSequence: number, upToIndex: number): number {
    const from = this.#start;
    while (this.#start < this.#sequences.length && this.#isFirstAtOrBelow(upToSequence, upToIndex)) this.#start++;
    if (!this.#isOrdered && upToIndex >= this.#lowestIndex) this.#forgetOld(upToIndex);
    const forgotten = this.#start > from ? (this.#sequences[this.#start - 1] ?? 0) : 0;
    if (this.size === 0 || this.#start > Math.max(MIN_CUT, this.size)) this.#cutOff();
    return forgotten;
  }

  /** As it is now, whatever becomes of the original. */
  copy(): Window {
    const copy = new Window();
    copy.#sequences = this.#sequences.slice(this.#start);
    copy.#indexes = this.#indexes.slice(this.#start);
    copy.#terms = this.#terms.slice(this.#start);
    copy.#isOrdered = this.#isOrdered;
    copy.#lowestIndex = this.#lowestIndex;
    return copy;
  }

  /** Sequence, index and term of each, in the order of the sequences. */
  *entries(): Iterable<readonly [sequence: number, index: number, term: number]> {
    for (let i = this.#start; i < this.#sequences.length; i++) {
      yield [this.#sequences[i] ?? 0, this.#indexes[i] ?? 0, this.#terms[i] ?? 0];
    }
  }

  #isFirstAtOrBelow(sequence: number, index: number): boolean {
    return (this.#sequences[this.#start] ?? 0) <= sequence || (this.#indexes[this.#start] ?? 0) <= index;
  }

  /** Up to the highest sequence that is so old. */
  #forgetOld(upToIndex: number): void {
    this.#isOrdered = true;
    this.#lowestIndex = Number.POSITIVE_INFINITY;
    for (let i = this.#sequences.length - 1; i >= this.#start; i--) {
      const index = this.#indexes[i] ?? 0;
      if (index <= upToIndex) {
        this.#start = i + 1;
      } else {
        this.#isOrdered &&= index < this.#lowestIndex;
        this.#lowestIndex = Math.min(this.#lowestIndex, index);
      }
    }
  }

  #cutOff(): void {
    this.#sequences = this.#sequences.slice(this.#start);
    this.#indexes = this.#indexes.slice(this.#start);
    this.#terms = this.#terms.slice(this.#start);
    this.#start = 0;
    if (this.size === 0) this.#isOrdered = true;
  }

  /** Where `sequence` stands, or would. Most often it is past the end. */
  #positionOf(sequence: number): number {
    let high = this.#sequences.length;
    if (this.size === 0 || sequence > (this.#sequences[high - 1] ?? 0)) return high;
    let low = this.#start;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sequences[middle] ?? 0) < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
