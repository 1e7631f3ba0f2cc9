import SqliteDatabase, { type Database } from "better-sqlite3";
import { StorageError } from "./error.ts";
import { checkSchema, type SchemaState } from "./schema.ts";

/** Below this version two connections that checkpoint at once can corrupt a WAL. */
const OLDEST_SQLITE = "3.51.3";

/** Pages of the database that a connection keeps in memory, in KiB. Recent entries are kept by the node instead. */
const CACHE_KIB = 4096;

/** A WAL of this many pages is brought into the database after the commit that made it so long. */
const CHECKPOINT_PAGES = 1000;

/** So long a WAL has seen checkpoints that failed, or a read that takes long. */
const OVERDUE_PAGES = 4 * CHECKPOINT_PAGES;

/** The WAL's file is cut back to this after a checkpoint, should a long read have let it grow. */
const WAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024;

/** The only connection that writes. Its commits are durable when they return. */
export function openWriterConnection(file: string): { readonly db: Database; readonly schema: SchemaState } {
  const db = new SqliteDatabase(file);
  try {
    checkSqliteVersion(db);
    // First of all: a file that isn't ours is left as it is.
    const schema = checkSchema(db);
    // Takes effect only before the first page is written.
    setPragma(db, "auto_vacuum", "INCREMENTAL", 2);
    setPragma(db, "journal_mode", "WAL", "wal");
    // After the journal mode, on every open: better-sqlite3 is compiled so that a WAL commits without any fsync.
    setPragma(db, "synchronous", "FULL", 2);
    setPragma(db, "fullfsync", "ON", 1);
    setPragma(db, "checkpoint_fullfsync", "ON", 1);
    setPragma(db, "wal_autocheckpoint", String(CHECKPOINT_PAGES), CHECKPOINT_PAGES);
    setPragma(db, "journal_size_limit", String(WAL_SIZE_LIMIT_BYTES), WAL_SIZE_LIMIT_BYTES);
    setCommonPragmas(db);
    return { db, schema };
  } catch (error) {
    db.close();
    throw error;
  }
}

/** A connection for reads, so that they never wait for writes nor writes for them. The file must exist. */
export function openReaderConnection(file: string): Database {
  const db = new SqliteDatabase(file, { readonly: true, fileMustExist: true });
  setCommonPragmas(db);
  return db;
}

/**
 * SQLite says nothing when a checkpoint after a commit fails, and tries again after the next: nothing is lost, but the WAL
 * grows for ever. Throws the error of a disk that takes the WAL but not the database.
 */
export function checkpointIfOverdue(db: Database): void {
  const [wal] = db.pragma("wal_checkpoint(NOOP)") as { readonly log: number }[];
  if ((wal?.log ?? 0) >= OVERDUE_PAGES) checkpoint(db);
}

/** Brings the WAL into the database and syncs it, as far as nobody reads what is older. Whether that was all of it. */
export function checkpoint(db: Database): boolean {
  const [wal] = db.pragma("wal_checkpoint(PASSIVE)") as { readonly log: number; readonly checkpointed: number }[];
  return wal?.log === wal?.checkpointed;
}

function setCommonPragmas(db: Database): void {
  setPragma(db, "trusted_schema", "OFF", 0);
  setPragma(db, "cell_size_check", "ON", 1);
  setPragma(db, "temp_store", "MEMORY", 2);
  setPragma(db, "cache_size", String(-CACHE_KIB), -CACHE_KIB);
}

/** SQLite ignores a pragma that it does not know or cannot honour: read each back. */
function setPragma(db: Database, name: string, value: string, expected: number | string): void {
  db.pragma(`${name}=${value}`);
  const found = db.pragma(name, { simple: true });
  if (found !== expected) {
    throw new StorageError("failed", `SQLite did not accept ${name}=${value} for ${db.name}: it stays ${found}`);
  }
}

function checkSqliteVersion(db: Database): void {
  const version = db.prepare<[], string>("SELECT sqlite_version()").pluck().get() ?? "";
  if (version.localeCompare(OLDEST_SQLITE, "en", { numeric: true }) < 0) {
    throw new StorageError("refused", `SQLite ${version} is too old: ${OLDEST_SQLITE} or newer is needed`);
  }
}
