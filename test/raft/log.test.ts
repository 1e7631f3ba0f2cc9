import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import { sliceFrame, sliceFrameToBytes } from "../../src/raft/frame.ts";
import { Log } from "../../src/raft/log.ts";
import { type Frame, ZERO_ID } from "../../src/raft/types.ts";
import { commands } from "../support/core.ts";

const ranges = (frames: readonly Frame[] | undefined) => frames?.map(({ first, last }) => [first, last]);

/** Entries 1-3 of term 1, 4-5 of term 3, 6-9 of term 4, in three frames. */
function someLog(): Log {
  const log = new Log(ZERO_ID, 0, []);
  for (const frame of [commands(1, 3, 1), commands(4, 2, 3), commands(6, 4, 4)]) log.append(frame);
  return log;
}

describe("Log", () => {
  it("knows the term of every entry and of its base, and of nothing else", () => {
    const log = new Log({ index: 5, term: 2 }, 9, [
      { index: 6, term: 2 },
      { index: 8, term: 4 },
    ]);
    expect([4, 5, 6, 7, 8, 9, 10].map((index) => log.termAt(index))).toEqual([undefined, 2, 2, 2, 4, 4, undefined]);
    expect(log.lastId).toEqual({ index: 9, term: 4 });
    expect(log.has({ index: 7, term: 2 })).toBe(true);
    expect(log.has({ index: 7, term: 4 })).toBe(false);
  });

  it("an empty log ends at its base", () => {
    expect(new Log({ index: 5, term: 2 }, 5, []).lastId).toEqual({ index: 5, term: 2 });
    expect(new Log(ZERO_ID, 0, []).lastId).toEqual(ZERO_ID);
  });

  it("refuses terms that fall, start late or end early", () => {
    const base = { index: 5, term: 2 };
    expect(() => new Log(base, 9, [{ index: 6, term: 1 }])).toThrow(InvariantError);
    expect(() => new Log(base, 9, [{ index: 7, term: 2 }])).toThrow(InvariantError);
    expect(() => new Log(base, 9, [])).toThrow(InvariantError);
    expect(() => new Log(base, 4, [])).toThrow(InvariantError);
  });

  it("appends only what follows its last entry, in no lower term", () => {
    expect(() => someLog().append(commands(11, 1, 4))).toThrow(InvariantError);
    expect(() => someLog().append(commands(9, 1, 4))).toThrow(InvariantError);
    expect(() => someLog().append(commands(10, 1, 3))).toThrow(InvariantError);
  });

  it("finds the last entry that may match another log's, a term at a time", () => {
    const log = someLog();
    expect(log.lastNotAfter({ index: 7, term: 4 })).toEqual({ index: 7, term: 4 });
    expect(log.lastNotAfter({ index: 20, term: 9 })).toEqual({ index: 9, term: 4 });
    expect(log.lastNotAfter({ index: 8, term: 3 })).toEqual({ index: 5, term: 3 });
    expect(log.lastNotAfter({ index: 8, term: 2 })).toEqual({ index: 3, term: 1 });
    expect(log.lastNotAfter({ index: 2, term: 2 })).toEqual({ index: 2, term: 1 });
    expect(log.lastNotAfter(ZERO_ID)).toEqual(ZERO_ID);
  });

  it("below its first term or at its base, the base is all that may match", () => {
    const base = { index: 5, term: 3 };
    const log = new Log(base, 7, [{ index: 6, term: 3 }]);
    for (const id of [
      { index: 7, term: 2 },
      { index: 5, term: 1 },
      { index: 2, term: 9 },
    ]) {
      expect(log.lastNotAfter(id)).toEqual(base);
    }
  });

  it("truncates within a frame and across terms, and goes on from there", () => {
    const log = someLog();
    log.truncateFrom(8);
    expect({ last: log.lastId, frames: ranges(log.framesFrom(1, 1e6)) }).toEqual({
      last: { index: 7, term: 4 },
      frames: [
        [1, 3],
        [4, 5],
        [6, 7],
      ],
    });
    log.truncateFrom(4);
    expect(log.lastId).toEqual({ index: 3, term: 1 });
    log.append(commands(4, 1, 5));
    expect(log.termAt(4)).toBe(5);
    log.truncateFrom(1);
    expect({ last: log.lastId, bytes: log.bytesInMemory }).toEqual({ last: ZERO_ID, bytes: 0 });
    expect(() => log.truncateFrom(1)).toThrow(InvariantError);
  });

  it("hands out entries up to a number of bytes, but never none of those it has", () => {
    const log = someLog();
    const size = commands(1, 1, 1).bytes.length;
    expect(ranges(log.framesFrom(2, 1))).toEqual([[2, 2]]);
    expect(ranges(log.framesFrom(2, 3 * size))).toEqual([
      [2, 3],
      [4, 4],
    ]);
    expect(ranges(log.framesFrom(2, 4 * size))).toEqual([
      [2, 3],
      [4, 5],
    ]);
    expect(log.framesFrom(10, 1)).toEqual([]);
  });

  it("forgets old frames over its budget, none behind what may go, and says so when asked for them", () => {
    const log = someLog();
    const size = commands(1, 1, 1).bytes.length;
    log.evict(9, 9 * size);
    expect(log.firstInMemory).toBe(1);
    log.evict(3, size);
    expect(log.firstInMemory).toBe(4);
    log.evict(8, size);
    expect({ first: log.firstInMemory, bytes: log.bytesInMemory }).toEqual({ first: 6, bytes: 4 * size });
    expect(log.framesFrom(5, 1e6)).toBeUndefined();
    expect(ranges(log.framesFrom(7, 1e6))).toEqual([[7, 9]]);
    expect(log.termAt(2)).toBe(1);
    log.evict(9, 0);
    expect({ first: log.firstInMemory, bytes: log.bytesInMemory }).toEqual({ first: 10, bytes: 0 });
  });
});

describe("slices of a frame", () => {
  it("are frames of their own over the same bytes", () => {
    const frame = commands(5, 4, 2, 10);
    expect(sliceFrame(frame, 6, 7)).toEqual(commands(6, 2, 2, 10));
    expect(sliceFrame(frame, 6, 7).bytes.buffer).toBe(frame.bytes.buffer);
    expect(sliceFrame(frame, 5, 8)).toBe(frame);
    expect(() => sliceFrame(frame, 4, 6)).toThrow(InvariantError);
    expect(() => sliceFrame(frame, 7, 9)).toThrow(InvariantError);
  });

  it("by bytes hold what fits, and at least one entry", () => {
    const frame = commands(5, 4, 2, 10);
    const size = frame.bytes.length / 4;
    expect(sliceFrameToBytes(frame, 6, 2 * size + 1)).toEqual(commands(6, 2, 2, 10));
    expect(sliceFrameToBytes(frame, 6, 0)).toEqual(commands(6, 1, 2, 10));
    expect(sliceFrameToBytes(frame, 6, 1e6)).toEqual(commands(6, 3, 2, 10));
  });
});
