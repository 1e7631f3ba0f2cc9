import { expect, it } from "vitest";
import { Failure } from "../../src/failure.ts";
import { readLog } from "../../src/node/log-reader.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { Frame } from "../../src/raft/types.ts";
import { appendEntries, commands, diskWith, drain, newCore, receive } from "../support/core.ts";
import { HeldStorage } from "./support.ts";

/** What is read from memory: ranges, or the reason of a failure; and what is asked of the disk. */
function read(raft: Raft, first: number, last: number) {
  const storage = new HeldStorage();
  let result: unknown;
  readLog(raft, storage, first, last, 1e6, (frames: readonly Frame[] | Failure) => {
    result = frames instanceof Failure ? frames.reason : frames.map((frame) => [frame.first, frame.last]);
  });
  return { result, reads: storage.reads };
}

it("reads what is durable, and no more of a frame", () => {
  const raft = newCore();
  receive(raft, appendEntries({ frames: [commands(1, 2, 1)] }));
  drain(raft);
  receive(raft, appendEntries({ prev: { index: 2, term: 1 }, frames: [commands(3, 2, 1)], sequence: 2 }));
  raft.takeReady();
  expect(read(raft, 1, 9).result).toEqual([[1, 2]]);
  expect(read(raft, 1, 1).result).toEqual([[1, 1]]);
  expect(read(raft, 3, 9).result).toEqual([]);
});

it("asks the disk for what is no longer in memory, what is committed apart from what may be truncated", () => {
  const raft = newCore({}, diskWith([1, 1, 1, 1]));
  receive(raft, appendEntries({ prev: { index: 2, term: 1 }, leaderCommit: 2 }));
  drain(raft);
  expect(read(raft, 1, 4).reads).toEqual([{ first: 1, last: 2, maxBytes: 1e6, isCommitted: true }]);
  expect(read(raft, 3, 4).reads).toEqual([{ first: 3, last: 4, maxBytes: 1e6, isCommitted: false }]);
});

it("says so when the log begins later", () => {
  const base = { index: 5, term: 2 };
  const raft = newCore(
    {},
    { hardState: { currentTerm: 2, votedFor: "" }, base, snapshot: base, lastIndex: 5, termStarts: [] },
  );
  expect(read(raft, 5, 9)).toEqual({ result: "COMPACTED", reads: [] });
});
