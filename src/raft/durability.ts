import { assert } from "../assert.ts";
import type { Log } from "./log.ts";
import type { TurnWrite } from "./ready.ts";
import type { EntryId, HardState } from "./types.ts";

/**
 * What of the log and the hard state the disk holds, is being given, and has not been given yet.
 *
 * Every turn claims the log up to an index. A truncation lowers the claims of all turns in progress: what such a turn
 * wrote beyond the cut is about to be overwritten, even by an entry of the same index and term that comes back later
 * (the ABA race), and a completion must not make it durable.
 */
export class Durability {
  readonly #log: Log;
  #durableIndex: number;
  /** The first index that no turn was given yet. */
  #unwrittenFrom: number;
  #truncateFrom: number | undefined;
  /** The log was replaced, and no turn was told. */
  #reset: EntryId | undefined;
  /** The turn that was told last. */
  #resetTurn = 0;
  /** Not yet given to a turn. */
  #hardState: HardState | undefined;
  /** The turn that the present hard state was given to, unless it waits for one. */
  #hardStateTurn = 0;
  #lastTurn = 0;
  #persistedTurn = 0;
  #turns: TurnInProgress[] = [];

  constructor(log: Log) {
    this.#log = log;
    this.#durableIndex = log.lastIndex;
    this.#unwrittenFrom = log.lastIndex + 1;
  }

  /** The log is on the disk up to here. */
  get index(): number {
    return this.#durableIndex;
  }

  /** The turn after whose completion the hard state, as it is now, is durable. */
  get hardStateTurn(): number {
    return this.#hardState === undefined ? this.#hardStateTurn : this.#lastTurn + 1;
  }

  isPersisted(turn: number): boolean {
    return turn <= this.#persistedTurn;
  }

  /** The hard state changed; it goes out with the next turn. */
  setHardState(hardState: HardState): void {
    this.#hardState = hardState;
  }

  /** The log was cut: `index` and everything after it is gone. */
  onTruncated(index: number): void {
    if (index < this.#unwrittenFrom) {
      this.#truncateFrom = Math.min(this.#truncateFrom ?? index, index);
      this.#unwrittenFrom = index;
    }
    this.#durableIndex = Math.min(this.#durableIndex, index - 1);
    for (const turn of this.#turns) turn.claim = Math.min(turn.claim, index - 1);
  }

  /**
   * The log was replaced by an empty one that follows `base`. Until that is on the disk, the disk holds the old one, of which
   * everything to `agreedIndex` is as good as before.
   */
  onReset(base: EntryId, agreedIndex: number): void {
    this.#reset = base;
    this.#truncateFrom = undefined;
    this.#unwrittenFrom = base.index + 1;
    this.#durableIndex = Math.min(this.#durableIndex, agreedIndex);
    for (const turn of this.#turns) turn.claim = Math.min(turn.claim, agreedIndex);
  }

  /** Whether the disk still holds an older log than the one that begins where this one does. */
  get isResetting(): boolean {
    return this.#reset !== undefined || this.#resetTurn > this.#persistedTurn;
  }

  /** The next turn's write, or undefined when the disk was given everything. */
  takeWrite(nowTicks: number): TurnWrite | undefined {
    const frames = this.#log.framesFrom(this.#unwrittenFrom, Number.POSITIVE_INFINITY);
    assert(frames !== undefined, `entries from ${this.#unwrittenFrom} left memory before they were written`);
    const write = { hardState: this.#hardState, reset: this.#reset, truncateFrom: this.#truncateFrom, frames };
    const isNothing = Object.values({ ...write, frames: frames[0] }).every((part) => part === undefined);
    if (isNothing) return undefined;
    const turn = ++this.#lastTurn;
    if (this.#hardState !== undefined) this.#hardStateTurn = turn;
    if (this.#reset !== undefined) this.#resetTurn = turn;
    this.#hardState = undefined;
    this.#reset = undefined;
    this.#truncateFrom = undefined;
    this.#unwrittenFrom = this.#log.lastIndex + 1;
    this.#turns.push({ turn, claim: this.#log.lastIndex, startedTicks: nowTicks });
    return { turn, ...write };
  }

  onPersisted(turn: number): void {
    const oldest = this.#turns.shift();
    assert(oldest?.turn === turn, `turn ${turn} was reported durable, ${oldest?.turn ?? "none"} was due`);
    this.#persistedTurn = turn;
    this.#durableIndex = Math.max(this.#durableIndex, oldest.claim);
  }

  /** When the oldest turn in progress was started; Infinity when there is none. */
  get startedTicks(): number {
    return this.#turns[0]?.startedTicks ?? Number.POSITIVE_INFINITY;
  }
}

interface TurnInProgress {
  readonly turn: number;
  /** The log is durable up to here when this turn is. */
  claim: number;
  readonly startedTicks: number;
}
