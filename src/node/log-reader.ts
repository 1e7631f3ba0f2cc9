import { Failure } from "../failure.ts";
import { sliceFrame } from "../raft/frame.ts";
import type { Raft } from "../raft/raft.ts";
import type { Frame } from "../raft/types.ts";
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
  if (first < log.firstIndex) {
    const metadata = { first_index: String(log.firstIndex) };
    return done(new Failure("COMPACTED", `the log starts at index ${log.firstIndex}`, { metadata }));
  }
  const end = Math.min(last, durability.index);
  if (first > end) return done([]);
  const inMemory = log.framesFrom(first, maxBytes);
  if (inMemory === undefined) return storage.read(first, end, maxBytes, done);
  done(
    inMemory
      .filter((frame) => frame.first <= end)
      .map((frame) => (frame.last <= end ? frame : sliceFrame(frame, frame.first, end))),
  );
}
