import { statSync } from "node:fs";
import { openReaderConnection } from "./connection.ts";
import { BRING_BACK, StorageError } from "./error.ts";
import { HighWaterMark, MARK_FILE } from "./mark.ts";
import { checkSchema, MARKED_SINCE_VERSION, type SchemaState } from "./schema.ts";
import { readLogState } from "./state-row.ts";

/**
 * Throws a StorageError when the database holds fewer writes than the mark says were synced. By a connection that only
 * reads, before there is one that writes: that one would copy what is left into the database as it closes, and delete
 * the WAL, which may be all that there is to mend it with.
 */
export function checkAgainstMark(file: string, mark: HighWaterMark): void {
  // Before its first write a database may be half made, and only a writer can make it whole.
  if (mark.writes === 0) return;
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined || size === 0) {
    throw lost(file, `it is ${size === undefined ? "missing" : "empty"}, and ${mark.writes} writes to it were synced`);
  }
  const db = openReaderConnection(file);
  try {
    const { version } = checkSchema(db);
    const found = version < MARKED_SINCE_VERSION ? 0 : readLogState(db).writes;
    if (found >= mark.writes) return;
    throw lost(
      file,
      `it holds ${found} writes, and ${mark.writes} were synced. Its ${file}-wal was deleted, cut off or damaged, or an ` +
        "older copy was put in its place",
    );
  } finally {
    db.close();
  }
}

/** The directory's mark, made with the schema. Throws a StorageError when it should be there. */
export function markFor(directory: string, schema: SchemaState, found: HighWaterMark | undefined): HighWaterMark {
  if (found !== undefined) return found;
  if (schema.version < MARKED_SINCE_VERSION) return HighWaterMark.create(directory);
  throw new StorageError(
    "damaged",
    `${MARK_FILE} is missing from ${directory}, or damaged: without it nothing shows that the database has lost no write. ` +
      BRING_BACK,
  );
}

function lost(file: string, detail: string): StorageError {
  return new StorageError("damaged", `${file} has lost what this node acknowledged: ${detail}. ${BRING_BACK}`);
}
