import { assert } from "../assert.ts";
import type { Log } from "./log.ts";
import type { TurnWrite } from "./ready.ts";
import type { HardState } from "./types.ts";

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

  /** The next turn's write, or undefined when the disk was given everything. */
  takeWrite(nowTicks: number): TurnWrite | undefined {
    const frames = this.#log.framesFrom(this.#unwrittenFrom, Number.POSITIVE_INFINITY);
    assert(frames !== undefined, `entries from ${this.#unwrittenFrom} left memory before they were written`);
    if (this.#hardState === undefined && this.#truncateFrom === undefined && frames.length === 0) return undefined;
    const turn = ++this.#lastTurn;
    const write = { turn, hardState: this.#hardState, truncateFrom: this.#truncateFrom, frames };
    if (this.#hardState !== undefined) this.#hardStateTurn = turn;
    this.#hardState = undefined;
    this.#truncateFrom = undefined;
    this.#unwrittenFrom = this.#log.lastIndex + 1;
    this.#turns.push({ turn, claim: this.#log.lastIndex, startedTicks: nowTicks });
    return write;
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
