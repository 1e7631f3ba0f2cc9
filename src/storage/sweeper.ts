import type { Database, Statement } from "better-sqlite3";
import { checkpoint } from "./connection.ts";
import type { LogWriter } from "./log-writer.ts";
import type { Attempt } from "./worker-service.ts";

/** What one transaction removes, at most: writes wait for it. A single larger row is removed alone. */
const MAX_ROWS = 1_000;
const MAX_BYTES = 4 * 1024 * 1024;

/** Pages that one transaction gives back to the file system. */
const MAX_PAGES = 256;

/** So many that were given back may wait for a checkpoint: until then they are neither free in the file nor outside of it. */
const MAX_CUT_PAGES = 16 * MAX_PAGES;

/** Of the file so much may stay free, as the log will need it again: a share of what is used, and never less than so much. */
const FREE_SHARE = 0.25;
const MIN_FREE_BYTES = 16 * 1024 * 1024;

/** From one transaction to the next. */
const PAUSE_MS = 5;

interface Row {
  readonly last: number;
  readonly size: number;
}

/** Removes what is before the log's base, bit by bit between the writes, and then gives room back to the file system. */
export class Sweeper {
  readonly #db: Database;
  readonly #writer: LogWriter;
  readonly #attempt: Attempt;
  readonly #rows: Statement<[], Row>;
  readonly #delete: Statement<[number]>;
  #timer: NodeJS.Timeout | undefined;
  /** Everything to here is removed. */
  #sweptTo = -1;
  /** Given back since a checkpoint cut the file. */
  #cutPages = 0;

  constructor(db: Database, writer: LogWriter, attempt: Attempt) {
    this.#db = db;
    this.#writer = writer;
    this.#attempt = attempt;
    this.#rows = db.prepare(
      `SELECT last_index AS last, length(bytes) AS size FROM frames ORDER BY first_index LIMIT ${MAX_ROWS}`,
    );
    this.#delete = db.prepare("DELETE FROM frames WHERE first_index <= ?");
  }

  /** There may be something to remove. */
  wake(): void {
    if (this.#timer !== undefined || this.#sweptTo >= this.#writer.base.index) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#attempt(() => {
        if (this.#sweep()) this.wake();
      });
    }, PAUSE_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** One transaction. Whether there is more to do. */
  #sweep(): boolean {
    const base = this.#writer.base.index;
    const upTo = this.#nextUpTo(base);
    if (upTo > 0) {
      this.#writer.count(() => this.#delete.run(upTo));
      return true;
    }
    if (this.#giveBack()) return true;
    this.#sweptTo = base;
    return false;
  }

  /** The last entry of the rows that the next transaction removes; 0 for none. A row that reaches beyond the base stays. */
  #nextUpTo(base: number): number {
    let upTo = 0;
    let bytes = 0;
    for (const { last, size } of this.#rows.iterate()) {
      bytes += size;
      if (last > base || (upTo > 0 && bytes > MAX_BYTES)) break;
      upTo = last;
    }
    return upTo;
  }

  /** Whether there is more to do. Only a checkpoint cuts the file, and with a full disk there may be no write that brings one. */
  #giveBack(): boolean {
    const number = (pragma: string): number => Number(this.#db.pragma(pragma, { simple: true }));
    const [pages, free, pageBytes] = [number("page_count"), number("freelist_count"), number("page_size")];
    const kept = Math.max((pages - free) * FREE_SHARE, MIN_FREE_BYTES / pageBytes);
    const isMore = free - kept >= MAX_PAGES;
    if (isMore) {
      this.#db.pragma(`incremental_vacuum(${MAX_PAGES})`);
      this.#cutPages += MAX_PAGES;
    }
    const isDue = isMore ? this.#cutPages >= MAX_CUT_PAGES : this.#cutPages > 0;
    if (isDue && checkpoint(this.#db)) this.#cutPages = 0;
    return isMore || this.#cutPages > 0;
  }
}
