import { InvariantError } from "../assert.ts";

/**
 * What kind of trouble a data directory is in.
 * - `damaged`: what the disk returns is not what was written. Not to be used again as it is.
 * - `failed`: the operating system or SQLite refused an operation. What the disk holds is not known.
 * - `refused`: the directory belongs to something else: another node, cluster, program or schema.
 * - `inUse`: another process holds it.
 */
export type StorageErrorKind = "damaged" | "failed" | "refused" | "inUse";

/** What to do about files that are damaged or gone. */
export const BRING_BACK =
  "Bring back the very files of this data directory as they last were, never an older copy: that may have forgotten a " +
  "vote. Until then this node must not take part.";

/** A storage that can't be used, or can't be used any more. The message says what to do where something helps. */
export class StorageError extends Error {
  override readonly name = "StorageError";
  readonly kind: StorageErrorKind;

  constructor(kind: StorageErrorKind, message: string, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
  }
}

/** An error as it crosses from a worker: classes don't survive a message between threads. */
export interface ErrorRecord {
  readonly kind: StorageErrorKind | "invariant";
  readonly message: string;
}

/** `doing` says what was tried, as in "writing the log". */
export function toErrorRecord(error: unknown, doing: string): ErrorRecord {
  if (error instanceof InvariantError) return { kind: "invariant", message: error.message };
  const { kind, message } = toStorageError(error, doing);
  return { kind, message };
}

export function fromErrorRecord(record: ErrorRecord): StorageError | InvariantError {
  return record.kind === "invariant"
    ? new InvariantError(record.message)
    : new StorageError(record.kind, record.message);
}

/** Every error but an InvariantError as a StorageError; `doing` as in `toErrorRecord`. */
export function toStorageError(error: unknown, doing: string): StorageError {
  if (error instanceof StorageError) return error;
  const code = errorCode(error);
  const message = error instanceof Error ? error.message : String(error);
  const detail = code === "" ? message : `${message} (${code})`;
  const kind = code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB" ? "damaged" : "failed";
  const advice = adviceFor(code);
  return new StorageError(kind, `${doing}: ${detail}${advice === "" ? "" : `. ${advice}`}`, error);
}

/** What to do, by the code of an error; "" where nothing is known to help. */
function adviceFor(code: string): string {
  if (code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_NOTADB") return BRING_BACK;
  if (/^(SQLITE_FULL|ENOSPC|EDQUOT|EFBIG)$/.test(code)) {
    return "Free space, or raise the quota, and start again: all that was acknowledged is there.";
  }
  if (/^(SQLITE_IOERR|SQLITE_READONLY|EIO$|EROFS$)/.test(code)) {
    return "See what the system's log says about the disk, and start again once it can be relied on.";
  }
  return "";
}

/** The code of an error from SQLite or the operating system, such as SQLITE_BUSY or EACCES; "" for none. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}
