import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import SqliteDatabase, { type Database } from "better-sqlite3";
import { notWritable } from "./directory.ts";
import { errorCode, StorageError, toStorageError } from "./error.ts";

/** The lock's file in the data directory. */
export const LOCK_FILE = "lock.db";

/**
 * Keeps a second process out of a data directory for as long as this one lives: an SQLite file of its own, in an
 * exclusive transaction that never ends. The operating system lets go of it when the process dies, however it dies.
 *
 * The lock is not the database's own: closing any file descriptor of a file drops all POSIX locks that the process has
 * on it, and nobody has a reason to open this file.
 */
export class DirectoryLock {
  readonly #db: Database;

  private constructor(db: Database) {
    this.#db = db;
  }

  /** Throws a StorageError at once when another process holds the directory. */
  static acquire(directory: string): DirectoryLock {
    const pidFile = join(directory, "lock.pid");
    const file = join(directory, LOCK_FILE);
    let db: Database | undefined;
    try {
      db = new SqliteDatabase(file, { timeout: 0 });
      db.pragma("journal_mode=MEMORY");
      db.exec("BEGIN EXCLUSIVE");
      // SQLite opens a file that it may not write for reading, and then takes no lock: a write fails instead. It stays
      // in memory, as the transaction is never committed.
      db.pragma("user_version=1");
      writeFileSync(pidFile, `${process.pid}\n`);
      return new DirectoryLock(db);
    } catch (error) {
      db?.close();
      const code = errorCode(error);
      if (code.startsWith("SQLITE_BUSY")) {
        throw new StorageError(
          "inUse",
          `data directory ${directory} is in use by another process${holder(pidFile)}. Stop it, or give another ` +
            "--data-dir.",
          error,
        );
      }
      if (/^(SQLITE_(READONLY|CANTOPEN|PERM)|E(ACCES|ROFS|PERM))/.test(code)) throw notWritable(file, error);
      const failure = toStorageError(error, `locking the data directory ${directory}`);
      if (failure.kind !== "damaged") throw failure;
      throw new StorageError(
        "damaged",
        `${file} is damaged: ${error instanceof Error ? error.message : error} (${code}). It holds nothing: when no other ` +
          `process${holder(pidFile)} uses the directory, delete it and start again.`,
        error,
      );
    }
  }

  release(): void {
    this.#db.close();
  }
}

/** The holder's process id, for people: it may be one of another container. */
function holder(pidFile: string): string {
  try {
    const pid = readFileSync(pidFile, "utf8").trim();
    return /^\d+$/.test(pid) ? ` (pid ${pid})` : "";
  } catch {
    return "";
  }
}
