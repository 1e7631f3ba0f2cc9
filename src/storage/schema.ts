import type { Database } from "better-sqlite3";
import { StorageError } from "./error.ts";

/** Marks the file as ours ("rsid" in ASCII), in the header that `file` and SQLite read. */
const APPLICATION_ID = 0x72736964;

/**
 * The steps from an empty file to the present schema: step n leads from `user_version` n to n + 1. Landed steps never
 * change; a change of the schema is a new step.
 *
 * - identity: who made the directory. One row.
 * - members: the other members, as they introduced themselves.
 * - state: term and vote, and where the log begins and ends. One row, updated by every write.
 * - frames: the log, one row a frame. The long columns stand last, so that a look at the others reads one page.
 * - term_starts: where each term starts, so that a start need not walk the log.
 * - sessions: the session table as of an earlier entry, so that a start need not read all of the log. One row, or none.
 * - snapshots: the application's snapshots, each a file beside the database.
 *
 * `checksum` is the CRC32 of the row's other columns, but for `writes`, which came later. Rows of term_starts are checked
 * against the frames.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE identity (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    incarnation BLOB NOT NULL,
    node_id TEXT NOT NULL,
    cluster_id TEXT NOT NULL,
    bootstrap_voters TEXT NOT NULL,
    bootstrapped INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE members (
    id TEXT PRIMARY KEY,
    incarnation BLOB NOT NULL,
    client_address TEXT NOT NULL,
    peer_address TEXT NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    current_term INTEGER NOT NULL,
    voted_for TEXT NOT NULL,
    base_index INTEGER NOT NULL,
    base_term INTEGER NOT NULL,
    last_index INTEGER NOT NULL,
    last_term INTEGER NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE frames (
    first_index INTEGER PRIMARY KEY,
    last_index INTEGER NOT NULL,
    term INTEGER NOT NULL,
    type INTEGER NOT NULL,
    checksums BLOB NOT NULL,
    bytes BLOB NOT NULL
  ) STRICT;
  CREATE TABLE term_starts (
    first_index INTEGER PRIMARY KEY,
    term INTEGER NOT NULL
  ) STRICT;
  `,
  // How many writes the directory has taken, for the high-water mark (mark.ts).
  `
  ALTER TABLE state ADD COLUMN writes INTEGER NOT NULL DEFAULT 0;
  `,
  `
  CREATE TABLE sessions (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    applied_index INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    bytes BLOB NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE snapshots (
    last_index INTEGER PRIMARY KEY,
    last_term INTEGER NOT NULL,
    format TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT;
  `,
  // Snapshots with the sidecar's own state: those without it could not be gone on from. Checkpoints with the durable subscribers.
  // The log is whole where the old ones are.
  `
  DROP TABLE snapshots;
  DELETE FROM sessions;
  CREATE TABLE snapshots (
    last_index INTEGER PRIMARY KEY,
    last_term INTEGER NOT NULL,
    format TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    own_state BLOB NOT NULL,
    checksum INTEGER NOT NULL
  ) STRICT;
  `,
];

/** From this version on a directory has a high-water mark. */
export const MARKED_SINCE_VERSION = 2;

/** The schema that this build writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;

/** What stands in a file's header. `empty`: nothing was ever committed to it. */
export interface SchemaState {
  readonly empty: boolean;
  readonly version: number;
}

/** Reads what the file is. Throws a StorageError for a file of another program or of a newer build. */
export function checkSchema(db: Database): SchemaState {
  const applicationId = Number(db.pragma("application_id", { simple: true }));
  const version = Number(db.pragma("user_version", { simple: true }));
  const empty = db.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() === undefined;
  if (empty && applicationId === 0 && version === 0) return { empty, version };
  if (applicationId !== APPLICATION_ID) {
    throw new StorageError(
      "refused",
      `${db.name} is the database of another program: its application_id is ${applicationId}, ours is ` +
        `${APPLICATION_ID}. Give another --data-dir.`,
    );
  }
  if (version > SCHEMA_VERSION) {
    throw new StorageError(
      "refused",
      `${db.name} has schema version ${version}, written by a newer raft-sidecar; this build knows versions up to ` +
        `${SCHEMA_VERSION}. Run the newer build again.`,
    );
  }
  return { empty, version };
}

/** Brings the file to the present schema. Inside a transaction of the caller's. */
export function migrate(db: Database, from: number): void {
  for (const step of MIGRATIONS.slice(from)) db.exec(step);
  db.pragma(`application_id=${APPLICATION_ID}`);
  db.pragma(`user_version=${SCHEMA_VERSION}`);
}
