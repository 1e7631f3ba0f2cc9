import { assert } from "../../src/assert.ts";
import type { TurnWrite } from "../../src/raft/ready.ts";
import type { EntryType, Frame } from "../../src/raft/types.ts";

export interface LogEntry {
  readonly term: number;
  readonly type: EntryType;
  /** Of what is committed: in which term it first was. */
  readonly committedIn: number;
}

/** The logs that were met, numbered, and what they are to each other, found out once for each pair. */
export class Logs {
  readonly #numbers = new Map<string, number>();
  readonly #logs: (readonly LogEntry[])[] = [];
  readonly #matching = new Map<number, boolean>();

  /** The log on a disk once these writes are on it. */
  numberOf(onDisk: readonly Frame[], writes: readonly TurnWrite[]): number {
    const frames = [...onDisk];
    for (const { truncateFrom, frames: added } of writes) {
      if (truncateFrom !== undefined) frames.length = Math.min(frames.length, truncateFrom - 1);
      frames.push(...added);
    }
    return this.#add(frames.map(({ term, type }) => ({ term, type, committedIn: 0 })));
  }

  /** What is committed once the first `commitIndex` entries of `log` are, seen by a node in `term`. */
  committed(committed: number, log: number, commitIndex: number, term: number): number {
    const before = this.entries(committed);
    const more = this.entries(log).slice(before.length, commitIndex);
    return more.length === 0 ? committed : this.#add([...before, ...more.map((e) => ({ ...e, committedIn: term }))]);
  }

  entries(log: number): readonly LogEntry[] {
    const found = this.#logs[log];
    assert(found !== undefined, `there is no log ${log}`);
    return found;
  }

  /** Whether both hold the same entries up to this index, as far as `upTo` goes in both. */
  agree(a: number, b: number, upTo: number): boolean {
    const [x, y] = [this.entries(a), this.entries(b)];
    for (let i = 0; i < Math.min(upTo, x.length, y.length); i++) if (!isSame(x[i], y[i])) return false;
    return true;
  }

  /** Log Matching (§5.3): where both hold an entry of the same index and term, they are equal up to there. */
  match(a: number, b: number): boolean {
    if (a === b) return true;
    const pair = a * 65_536 + b;
    let matching = this.#matching.get(pair);
    if (matching === undefined) {
      const [x, y] = [this.entries(a), this.entries(b)];
      let last = Math.min(x.length, y.length);
      while (last > 0 && x[last - 1]?.term !== y[last - 1]?.term) last--;
      matching = this.agree(a, b, last);
      this.#matching.set(pair, matching);
    }
    return matching;
  }

  #add(entries: readonly LogEntry[]): number {
    const key = JSON.stringify(entries);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#logs.length;
    assert(number < 65_536, "there are too many logs");
    this.#numbers.set(key, number);
    this.#logs.push(entries);
    return number;
  }
}

function isSame(a: LogEntry | undefined, b: LogEntry | undefined): boolean {
  return a?.term === b?.term && a?.type === b?.type;
}
