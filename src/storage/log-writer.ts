import type { Database } from "better-sqlite3";
import { assert } from "../assert.ts";
import { sliceFrame } from "../raft/frame.ts";
import type { EntryId, Frame, HardState } from "../raft/types.ts";
import { CHECKSUM_BYTES, damaged, entryChecksums, type FrameRow, verifyFrame } from "./checksum.ts";
import { FRAME_COLUMNS } from "./recover.ts";
import { writeSnapshot } from "./snapshot-rows.ts";
import { type LogState, prepareLogStateWrite, readLogState } from "./state-row.ts";
import type { DiskWrite, SnapshotReset } from "./storage.ts";

/** Executes disk turns. After an error it must not be used again: its idea of the log may be ahead of the disk's. */
export class LogWriter {
  readonly #db: Database;
  readonly #statements: Statements;
  readonly #transaction: (execute: () => void) => void;
  #state: LogState;

  constructor(db: Database) {
    this.#db = db;
    this.#statements = prepareStatements(db);
    this.#state = readLogState(db);
    this.#transaction = db.transaction((execute: () => void) => {
      execute();
      this.#state = { ...this.#state, writes: this.#state.writes + 1 };
      this.#statements.writeState(this.#state);
    }).immediate;
  }

  /** How many writes the directory has taken, those of earlier processes included. */
  get writes(): number {
    return this.#state.writes;
  }

  /** Executes one turn in one transaction. It is durable on return. */
  write(write: DiskWrite): void {
    this.count(() => this.#execute(write));
  }

  /** Executes something else, which counts as a write as well. It is durable on return. */
  count(execute: () => void): void {
    this.#transaction(execute);
  }

  /** Everything to here is to be swept away, and no longer read. */
  get base(): EntryId {
    return this.#state.base;
  }

  /** Lets the log begin after `base`. It is durable on return. */
  compact(base: EntryId): void {
    if (base.index > this.#state.base.index) this.count(() => this.#compact(base));
  }

  #compact(base: EntryId): void {
    const { last } = this.#state;
    const statements = this.#statements;
    assert(base.index <= last.index, `the log is cut off at ${base.index}, and ends at ${last.index}`);
    const found = statements.termOf.get(base.index);
    assert(
      found === base.term,
      `the log is cut off at ${base.index} of term ${base.term}, which is ${found} on the disk`,
    );
    const next = base.index === last.index ? undefined : statements.termOf.get(base.index + 1);
    statements.deleteTermStartsTo.run(base.index + 1);
    if (next !== undefined) statements.insertTermStart.run(base.index + 1, next);
    this.#state = { ...this.#state, base };
  }

  #execute({ hardState, reset, truncateFrom, frames }: DiskWrite): void {
    if (hardState !== undefined) {
      checkHardState(this.#state.hardState, hardState);
      this.#state = { ...this.#state, hardState };
    }
    if (reset !== undefined) this.#reset(reset);
    if (truncateFrom !== undefined) this.#state = { ...this.#state, last: this.#truncate(truncateFrom) };
    for (const frame of frames) this.#append(frame);
  }

  /** What the log held to the snapshot's last entry is left to be swept away. */
  #reset(reset: SnapshotReset): void {
    const { last } = reset.snapshot;
    assert(last.index > this.#state.base.index, `the log begins after ${this.#state.base.index}, not ${last.index}`);
    this.#statements.deleteFrames.run(last.index + 1);
    this.#statements.deleteFrameAcross.run({ index: last.index });
    this.#statements.deleteTermStarts.run(0);
    writeSnapshot(this.#db, reset);
    this.#state = { ...this.#state, base: last, last };
  }

  /** Removes `from` and everything after it. Returns the entry that is the last one then. */
  #truncate(from: number): EntryId {
    const { base, last } = this.#state;
    assert(from > base.index, `truncation from ${from} keeps the log's base ${base.index}`);
    if (from > last.index) return last;
    const statements = this.#statements;
    statements.deleteFrames.run(from);
    statements.deleteTermStarts.run(from);
    const row = statements.lastFrame.get();
    const end = Math.max(row?.last ?? 0, base.index);
    if (end < from - 1) throw damaged(end + 1, `it is missing, the log should reach ${from - 1}`);
    if (row === undefined) return base;
    if (row.last >= from) {
      const kept = sliceFrame(verifyFrame(row), row.first, from - 1);
      const checksums = row.checksums.subarray(0, kept.ends.length * CHECKSUM_BYTES);
      statements.shortenFrame.run(kept.last, checksums, kept.bytes, kept.first);
    }
    return from - 1 === base.index ? base : { index: from - 1, term: row.term };
  }

  #append(frame: Frame): void {
    const { base, last, hardState } = this.#state;
    assert(frame.first === last.index + 1, `a frame at ${frame.first} follows the log's last entry ${last.index}`);
    assert(frame.term >= last.term, `a frame of term ${frame.term} follows an entry of term ${last.term}`);
    assert(frame.term <= hardState.currentTerm, `term ${frame.term} is logged in term ${hardState.currentTerm}`);
    this.#statements.insertFrame.run(
      frame.first,
      frame.last,
      frame.term,
      frame.type,
      entryChecksums(frame),
      frame.bytes,
    );
    if (frame.term !== last.term || last.index === base.index)
      this.#statements.insertTermStart.run(frame.first, frame.term);
    this.#state = { ...this.#state, last: { index: frame.last, term: frame.term } };
  }
}

/** A term never falls, and a vote is given once in a term (§5.2). */
function checkHardState(from: HardState, to: HardState): void {
  assert(to.currentTerm >= from.currentTerm, `the stored term falls from ${from.currentTerm} to ${to.currentTerm}`);
  assert(
    to.currentTerm > from.currentTerm || from.votedFor === "" || to.votedFor === from.votedFor,
    `the vote of term ${to.currentTerm} changes from ${from.votedFor} to "${to.votedFor}"`,
  );
}

type Statements = ReturnType<typeof prepareStatements>;

function prepareStatements(db: Database) {
  return {
    writeState: prepareLogStateWrite(db),
    insertFrame: db.prepare<[number, number, number, number, Uint8Array, Uint8Array]>(
      "INSERT INTO frames (first_index, last_index, term, type, checksums, bytes) VALUES (?, ?, ?, ?, ?, ?)",
    ),
    shortenFrame: db.prepare<[number, Uint8Array, Uint8Array, number]>(
      "UPDATE frames SET last_index = ?, checksums = ?, bytes = ? WHERE first_index = ?",
    ),
    lastFrame: db.prepare<[], FrameRow>(`SELECT ${FRAME_COLUMNS} FROM frames ORDER BY first_index DESC LIMIT 1`),
    deleteFrames: db.prepare<[number]>("DELETE FROM frames WHERE first_index >= ?"),
    deleteFrameAcross: db.prepare<[{ readonly index: number }]>(
      `DELETE FROM frames WHERE last_index > @index
        AND first_index = (SELECT max(first_index) FROM frames WHERE first_index <= @index)`,
    ),
    termOf: db
      .prepare<[number], number>("SELECT term FROM frames WHERE first_index <= ? ORDER BY first_index DESC LIMIT 1")
      .pluck(),
    deleteTermStartsTo: db.prepare<[number]>("DELETE FROM term_starts WHERE first_index <= ?"),
    insertTermStart: db.prepare<[number, number]>("INSERT INTO term_starts (first_index, term) VALUES (?, ?)"),
    deleteTermStarts: db.prepare<[number]>("DELETE FROM term_starts WHERE first_index >= ?"),
  };
}
