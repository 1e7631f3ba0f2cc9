import { assert } from "../assert.ts";
import { Failure } from "../failure.ts";
import { decodeEntries } from "../frame/codec.ts";
import { sliceFrame } from "../raft/frame.ts";
import type { Raft } from "../raft/raft.ts";
import { EntryType, type Frame } from "../raft/types.ts";
import type { Storage } from "../storage/storage.ts";

/** Reads what is durable of the log, from memory where it is still there, else from the disk. See `NodeApi.readLog`. */
export function readLog(
  raft: Raft,
  storage: Storage,
  first: number,
  last: number,
  maxBytes: number,
  done: (result: readonly Frame[] | Failure) => void,
): void {
  const { log, durability } = raft;
  if (first < log.firstIndex) return done(compacted(raft));
  const end = Math.min(last, durability.index);
  if (first > end) return done([]);
  const inMemory = log.framesFrom(first, maxBytes);
  if (inMemory === undefined) {
    // What is not committed may be truncated while the disk reads. It isn't mixed with what is.
    const isCommitted = first <= raft.lastApplied;
    const range = { first, last: isCommitted ? Math.min(end, raft.lastApplied) : end, maxBytes, isCommitted };
    return storage.read(range, (frames) => {
      const isGone = isCommitted && frames.length === 0;
      assert(!isGone || first < raft.log.firstIndex, `the committed entry ${first} is in the log`);
      done(isGone ? compacted(raft) : frames);
    });
  }
  done(
    inMemory
      .filter((frame) => frame.first <= end)
      .map((frame) => (frame.last <= end ? frame : sliceFrame(frame, frame.first, end))),
  );
}

function compacted({ log: { firstIndex } }: Raft): Failure {
  const metadata = { first_index: String(firstIndex) };
  return new Failure("COMPACTED", `the log starts at index ${firstIndex}`, { metadata });
}

/** The identity that the log's first entry gives it. `first` is what reading that entry brought. */
export function logIdOf(first: readonly Frame[]): Uint8Array {
  const [frame] = first;
  const entry = frame === undefined ? undefined : decodeEntries(frame.bytes)[0];
  assert(entry?.type === EntryType.logId, "the log's first entry holds its id");
  return Uint8Array.from(entry.command);
}
