import type { Database, Statement } from "better-sqlite3";
import type { EntryId, HardState } from "../raft/types.ts";
import { rowChecksum } from "./checksum.ts";
import { StorageError } from "./error.ts";

/** What every write updates, in one row: term and vote, and where the log begins and ends. */
export interface LogState {
  readonly hardState: HardState;
  /** The entry before the first one. */
  readonly base: EntryId;
  /** The last entry; `base` for an empty log. */
  readonly last: EntryId;
  /** How many writes the directory has taken, this one included. */
  readonly writes: number;
}

/** What a new directory holds. */
export const EMPTY_LOG_STATE: LogState = {
  hardState: { currentTerm: 0, votedFor: "" },
  base: { index: 0, term: 0 },
  last: { index: 0, term: 0 },
  writes: 0,
};

interface Row {
  readonly current_term: number;
  readonly voted_for: string;
  readonly base_index: number;
  readonly base_term: number;
  readonly last_index: number;
  readonly last_term: number;
  readonly checksum: number;
  readonly writes: number;
}

/** Reads the row. Throws a StorageError when it is missing or damaged: the node may have voted and not know it. */
export function readLogState(db: Database): LogState {
  const row = db.prepare<[], Row>("SELECT * FROM state").get();
  if (row === undefined) throw damagedState(db.name, "its row is missing");
  const state: LogState = {
    hardState: { currentTerm: row.current_term, votedFor: row.voted_for },
    base: { index: row.base_index, term: row.base_term },
    last: { index: row.last_index, term: row.last_term },
    writes: row.writes,
  };
  if (rowChecksum(rowValues(state)) !== row.checksum) throw damagedState(db.name, "its checksum differs");
  return state;
}

/** Prepares the statement that writes the row. */
export function prepareLogStateWrite(db: Database): (state: LogState) => void {
  const statement: Statement<(string | number)[]> = db.prepare(
    `INSERT OR REPLACE INTO state
      (id, current_term, voted_for, base_index, base_term, last_index, last_term, checksum, writes)
      VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  return (state) => {
    const values = rowValues(state);
    statement.run(...values, rowChecksum(values), state.writes);
  };
}

/** The values that the checksum covers, in the order of the columns. */
function rowValues({ hardState, base, last }: LogState): (string | number)[] {
  return [hardState.currentTerm, hardState.votedFor, base.index, base.term, last.index, last.term];
}

function damagedState(file: string, detail: string): StorageError {
  return new StorageError(
    "damaged",
    `the term and vote stored in ${file} are damaged: ${detail}. This node must not vote from this directory again.`,
  );
}
