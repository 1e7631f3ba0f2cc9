import type { Database } from "better-sqlite3";
import type { TermStart } from "../raft/types.ts";
import { damaged, type FrameRow, verifyFrame } from "./checksum.ts";
import { checkOwner, createIdentity, type DirectoryOwner, readIdentity, readMembers } from "./identity.ts";
import { migrate, SCHEMA_VERSION, type SchemaState } from "./schema.ts";
import { readSessions } from "./session-row.ts";
import { readSnapshots } from "./snapshot-rows.ts";
import { EMPTY_LOG_STATE, type LogState, prepareLogStateWrite, readLogState } from "./state-row.ts";
import type { Recovered } from "./storage.ts";

/** The columns of a `FrameRow`. */
export const FRAME_COLUMNS = "first_index AS first, last_index AS last, term, type, checksums, bytes";

/**
 * Makes a new database ready in one transaction, or checks that a standing one belongs to `owner` and is whole, as far
 * as that is possible without reading the log. Takes time with the number of terms, not of entries.
 */
export function recover(db: Database, schema: SchemaState, directory: string, owner: DirectoryOwner): Recovered {
  if (schema.version < SCHEMA_VERSION) {
    db.transaction(() => {
      migrate(db, schema.version);
      if (!schema.empty) return;
      createIdentity(db, owner);
      prepareLogStateWrite(db)(EMPTY_LOG_STATE);
    }).immediate();
  }
  const identity = readIdentity(db);
  checkOwner(directory, identity, owner);
  const state = readLogState(db);
  checkEnds(db, state);
  return {
    incarnation: identity.incarnation,
    bootstrapVoters: identity.bootstrapVoters,
    bootstrapped: identity.bootstrapped,
    members: readMembers(db),
    hardState: state.hardState,
    base: state.base,
    lastIndex: state.last.index,
    termStarts: readTermStarts(db, state),
    sessions: readSessions(db, state),
    snapshots: readSnapshots(db, state.base),
  };
}

/** The log's first and last row are where the state says, and the last one is whole: it was written last. */
function checkEnds(db: Database, { base, last }: LogState): void {
  const lastRow = db
    .prepare<[], FrameRow>(`SELECT ${FRAME_COLUMNS} FROM frames ORDER BY first_index DESC LIMIT 1`)
    .get();
  // Rows of what is before the base may be left: they are removed bit by bit.
  if (lastRow === undefined || lastRow.last <= base.index) {
    if (last.index !== base.index) throw damaged(base.index + 1, `entries to ${last.index} are missing`);
    return;
  }
  const first = db
    .prepare<[number], number>("SELECT last_index FROM frames WHERE first_index <= ? ORDER BY first_index DESC LIMIT 1")
    .pluck()
    .get(base.index + 1);
  if (first === undefined || first <= base.index) throw damaged(base.index + 1, "it is missing");
  if (lastRow.last !== last.index) throw damaged(lastRow.last + 1, `the log should end at ${last.index}`);
  if (lastRow.term !== last.term) throw damaged(last.index, `its term is ${lastRow.term} and should be ${last.term}`);
  verifyFrame(lastRow);
}

/** The stored term starts, each held against the frames on both sides of it. */
function readTermStarts(db: Database, { base, last }: LogState): TermStart[] {
  const rows = db
    .prepare<[], TermStart & { readonly startTerm: number | null; readonly termBefore: number | null }>(
      `SELECT t.first_index AS "index", t.term AS term,
        (SELECT f.term FROM frames f WHERE f.first_index <= t.first_index ORDER BY f.first_index DESC LIMIT 1) AS startTerm,
        (SELECT f.term FROM frames f WHERE f.first_index < t.first_index ORDER BY f.first_index DESC LIMIT 1) AS termBefore
      FROM term_starts t ORDER BY t.first_index`,
    )
    .all();
  if (last.index > base.index && rows[0]?.index !== base.index + 1) {
    throw damaged(base.index + 1, "where its term starts is not known");
  }
  let previous: TermStart | undefined;
  for (const { index, term, startTerm, termBefore } of rows) {
    // Before the first one there is nothing any more, or what is about to be removed.
    if (startTerm !== term || (previous !== undefined && termBefore !== previous.term)) {
      throw damaged(index, `term ${term} is said to start there, which the entries deny`);
    }
    if (previous !== undefined && term <= previous.term) {
      throw damaged(index, `the term falls from ${previous.term} to ${term}`);
    }
    previous = { index, term };
  }
  if ((previous?.term ?? base.term) !== last.term) {
    throw damaged(last.index, `where its term ${last.term} starts is not known`);
  }
  return rows.map(({ index, term }) => ({ index, term }));
}
