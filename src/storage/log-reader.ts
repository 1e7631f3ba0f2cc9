import type { Database, Statement } from "better-sqlite3";
import { assert } from "../assert.ts";
import { sliceFrame, sliceFrameToBytes } from "../raft/frame.ts";
import type { Frame } from "../raft/types.ts";
import { damaged, type FrameRow, verifyFrame } from "./checksum.ts";
import { FRAME_COLUMNS } from "./recover.ts";
import type { ReadRange } from "./storage.ts";

/** Reads ranges of the log and verifies what it reads. */
export class LogReader {
  readonly #range: Statement<[number, number], FrameRow>;
  readonly #base: Statement<[], number>;

  constructor(db: Database) {
    // One statement, so that all rows are of one moment, from the row that holds the first index on.
    this.#range = db.prepare(
      `SELECT ${FRAME_COLUMNS} FROM frames
        WHERE first_index >= (SELECT max(first_index) FROM frames WHERE first_index <= ?) AND first_index <= ?
        ORDER BY first_index`,
    );
    this.#base = db.prepare<[], number>("SELECT base_index FROM state").pluck();
  }

  /** As `Storage.read`. Throws a StorageError that names the index of a damaged or missing entry. */
  read({ first, last, maxBytes, isCommitted }: ReadRange): Frame[] {
    assert(first >= 1 && first <= last, `a read from ${first} to ${last} is a range`);
    const frames: Frame[] = [];
    let next = first;
    let left = maxBytes;
    let isMissing = true;
    for (const row of this.#range.iterate(first, last)) {
      isMissing = row.first > next || row.last < next;
      if (isMissing) break;
      const frame = verifyFrame(row);
      const wanted = sliceFrame(frame, next, Math.min(frame.last, last));
      if (frames.length > 0 && (wanted.ends[0] ?? 0) > left) break;
      const part = sliceFrameToBytes(wanted, next, left);
      frames.push(part);
      next = part.last + 1;
      left -= part.bytes.length;
      if (left <= 0 || part.last < wanted.last) break;
    }
    if (isMissing && isCommitted && next > (this.#base.get() ?? 0)) throw damaged(next, "it is missing");
    return frames;
  }
}
