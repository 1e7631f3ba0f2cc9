import { assert } from "../../src/assert.ts";
import { sliceFrame, sliceFrameToBytes } from "../../src/raft/frame.ts";
import type { RaftRecovered } from "../../src/raft/raft.ts";
import type { TurnWrite } from "../../src/raft/ready.ts";
import type { EntryId, Frame, HardState, TermStart } from "../../src/raft/types.ts";

/** What is on one node's disk: the effects of a prefix of its turns, each whole. It survives crashes. */
export class LogDisk {
  #base: EntryId;
  hardState: HardState;
  /** One entry each, from `base.index + 1` on. */
  readonly entries: Frame[] = [];

  constructor(base: EntryId, hardState: HardState, entries: readonly Frame[]) {
    this.#base = base;
    this.hardState = hardState;
    for (const frame of entries) this.#append(frame);
  }

  get base(): EntryId {
    return this.#base;
  }

  get lastIndex(): number {
    return this.base.index + this.entries.length;
  }

  entryAt(index: number): Frame | undefined {
    return this.entries[index - this.base.index - 1];
  }

  termAt(index: number): number | undefined {
    return index === this.base.index ? this.base.term : this.entryAt(index)?.term;
  }

  /** Applies a turn in the order that the storage port promises. */
  apply(write: Omit<TurnWrite, "turn">): void {
    const { hardState } = write;
    if (hardState !== undefined) {
      const { currentTerm, votedFor } = this.hardState;
      assert(hardState.currentTerm >= currentTerm, `hard state: the term falls to ${hardState.currentTerm}`);
      assert(
        hardState.currentTerm > currentTerm || votedFor === "" || votedFor === hardState.votedFor,
        `hard state: the vote of term ${currentTerm} changes from ${votedFor} to ${hardState.votedFor}`,
      );
      this.hardState = hardState;
    }
    if (write.reset !== undefined) {
      assert(
        this.termAt(write.reset.index) !== write.reset.term,
        "disk: a log is replaced that goes on from the snapshot",
      );
      this.#base = write.reset;
      this.entries.length = 0;
    }
    if (write.truncateFrom !== undefined) {
      assert(write.truncateFrom <= this.lastIndex, `disk: nothing to truncate at ${write.truncateFrom}`);
      this.entries.length = write.truncateFrom - this.base.index - 1;
    }
    for (const frame of write.frames) this.#append(frame);
  }

  /** Removes everything up to an entry. */
  compact(base: EntryId): void {
    assert(this.termAt(base.index) === base.term, `disk: the log can't begin after ${base.index}/${base.term}`);
    this.entries.splice(0, base.index - this.#base.index);
    this.#base = base;
  }

  /** As the storage port reads; undefined when the range is not there. */
  read(first: number, last: number, maxBytes: number): Frame[] | undefined {
    if (first <= this.base.index || last > this.lastIndex) return undefined;
    const frames: Frame[] = [];
    let bytes = 0;
    for (let index = first; index <= last; index++) {
      const entry = this.entryAt(index);
      assert(entry !== undefined, `disk: entry ${index} is missing`);
      if (frames.length > 0 && bytes + entry.bytes.length > maxBytes) break;
      frames.push(sliceFrameToBytes(entry, index, maxBytes));
      bytes += entry.bytes.length;
    }
    return frames;
  }

  recovered(): RaftRecovered {
    const termStarts: TermStart[] = [];
    for (const { first, term } of this.entries) {
      if (termStarts.at(-1)?.term !== term) termStarts.push({ index: first, term });
    }
    return { hardState: this.hardState, base: this.base, lastIndex: this.lastIndex, termStarts, snapshot: this.base };
  }

  #append(frame: Frame): void {
    assert(frame.first === this.lastIndex + 1, `disk: entry ${frame.first} is written after ${this.lastIndex}`);
    for (let index = frame.first; index <= frame.last; index++) this.entries.push(sliceFrame(frame, index, index));
  }
}
