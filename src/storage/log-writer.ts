import type { Database } from "better-sqlite3";
import { assert } from "../assert.ts";
import { sliceFrame } from "../raft/frame.ts";
import type { EntryId, Frame, HardState } from "../raft/types.ts";
import { CHECKSUM_BYTES, damaged, entryChecksums, type FrameRow, verifyFrame } from "./checksum.ts";
import { FRAME_COLUMNS } from "./recover.ts";
import { type LogState, prepareLogStateWrite, readLogState } from "./state-row.ts";
import type { DiskWrite } from "./storage.ts";

/** Executes disk turns. After an error it must not be used again: its idea of the log may be ahead of the disk's. */
export class LogWriter {
  readonly #statements: Statements;
  readonly #transaction: (execute: () => void) => void;
  #state: LogState;

  constructor(db: Database) {
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

  #execute({ hardState, truncateFrom, frames }: DiskWrite): void {
    if (hardState !== undefined) {
      checkHardState(this.#state.hardState, hardState);
      this.#state = { ...this.#state, hardState };
    }
    if (truncateFrom !== undefined) this.#state = { ...this.#state, last: this.#truncate(truncateFrom) };
    for (const frame of frames) this.#append(frame);
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
    const end = row === undefined ? base.index : row.last;
    if (end < from - 1) throw damaged(end + 1, `it is missing, the log should reach ${from - 1}`);
    if (row === undefined) return base;
    if (row.last >= from) {
      const kept = sliceFrame(verifyFrame(row), row.first, from - 1);
      const checksums = row.checksums.subarray(0, kept.ends.length * CHECKSUM_BYTES);
      statements.shortenFrame.run(kept.last, checksums, kept.bytes, kept.first);
    }
    return { index: from - 1, term: row.term };
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
    insertTermStart: db.prepare<[number, number]>("INSERT INTO term_starts (first_index, term) VALUES (?, ?)"),
    deleteTermStarts: db.prepare<[number]>("DELETE FROM term_starts WHERE first_index >= ?"),
  };
}
