import { describe, expect, it } from "vitest";
import { Log } from "../../src/raft/log.ts";
import { type Frame, ZERO_ID } from "../../src/raft/types.ts";
import { commands } from "../support/core.ts";

const TERMS = [1, 1, 1, 3, 3, 4, 4, 4, 4];

const ranges = (frames: readonly Frame[] | undefined) => frames?.map(({ first, last }) => [first, last]);

/** Entries 1-3 of term 1, 4-5 of term 3, 6-9 of term 4, in three frames. */
function someLog(): Log {
  const log = new Log(ZERO_ID, 0, []);
  for (const frame of [commands(1, 3, 1), commands(4, 2, 3), commands(6, 4, 4)]) log.append(frame);
  return log;
}

function compacted(index: number, log = someLog()): Log {
  log.compactTo(index);
  return log;
}

function bytesOf(log: Log): number {
  const frames = log.framesFrom(log.firstInMemory, Number.POSITIVE_INFINITY) ?? [];
  return frames.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

describe("a log that begins later", () => {
  it.each(TERMS.map((_, i) => i + 1))(
    "after %i knows the terms from there on, holds the rest, and goes on",
    (index) => {
      const log = compacted(index);
      expect(log.base).toEqual({ index, term: TERMS[index - 1] });
      expect(log).toMatchObject({ firstIndex: index + 1, lastIndex: 9, lastId: { index: 9, term: 4 } });
      const known = TERMS.map((term, i) => (i + 1 < index ? undefined : term));
      expect(TERMS.map((_, i) => log.termAt(i + 1))).toEqual(known);
      expect(log.framesFrom(index, 1_000)).toBeUndefined();
      expect(log.framesFrom(index + 1, 1_000)?.at(0)?.first).toBe(index === 9 ? undefined : index + 1);
      expect({ first: log.firstInMemory, bytes: log.bytesInMemory }).toEqual({ first: index + 1, bytes: bytesOf(log) });
      log.append(commands(10, 2, 4));
      expect([10, 11, 12].map((at) => log.termAt(at))).toEqual([4, 4, undefined]);
      expect(log.framesFrom(10, 1_000)?.map(({ first, last }) => [first, last])).toEqual([[10, 11]]);
    },
  );

  it("may begin in the middle of a frame: the rest of it stays", () => {
    const log = compacted(7);
    expect(ranges(log.framesFrom(8, 1_000))).toEqual([[8, 9]]);
    expect(log.framesFrom(8, 1_000)?.[0]?.bytes).toEqual(commands(8, 2, 4).bytes);
    expect(log.bytesInMemory).toBe(commands(8, 2, 4).bytes.length);
  });

  it("can match another log nowhere before its base", () => {
    const log = compacted(7);
    expect(log.lastNotAfter({ index: 6, term: 4 })).toEqual({ index: 7, term: 4 });
    expect(log.lastNotAfter({ index: 8, term: 3 })).toEqual({ index: 7, term: 4 });
    expect(log.lastNotAfter({ index: 8, term: 4 })).toEqual({ index: 8, term: 4 });
    expect(log.has({ index: 7, term: 4 })).toBe(true);
    expect(log.has({ index: 5, term: 3 })).toBe(false);
  });

  it("keeps what is in memory where that begins later than the log", () => {
    const log = someLog();
    log.evict(3, log.bytesInMemory - 1);
    expect(log.firstInMemory).toBe(4);
    compacted(2, log);
    expect(log).toMatchObject({ firstIndex: 3, firstInMemory: 4, bytesInMemory: bytesOf(log) });
    expect(log.termAt(3)).toBe(1);
    compacted(4, log);
    expect(log).toMatchObject({ firstIndex: 5, firstInMemory: 5, bytesInMemory: bytesOf(log) });
  });

  it("is cut at its end as before, down to its base", () => {
    const log = compacted(4);
    log.truncateFrom(6);
    expect(log.lastId).toEqual({ index: 5, term: 3 });
    log.truncateFrom(5);
    expect(log.lastId).toEqual({ index: 4, term: 3 });
    expect(log.bytesInMemory).toBe(0);
  });

  it("stays as it is where it begins there already, and can't begin earlier or past its end", () => {
    const log = compacted(5);
    expect(log.compactTo(5)).toBeUndefined();
    expect(ranges(log.framesFrom(6, 1_000))).toEqual([[6, 9]]);
    for (const index of [4, 10]) expect(() => log.compactTo(index)).toThrow("can't begin after");
  });
});

describe("a log that is replaced", () => {
  it.each([3, 7, 20])("by what follows %i is empty, and goes on from there", (index) => {
    const log = someLog();
    const base = { index, term: 5 };
    log.resetTo(base);
    expect(log).toMatchObject({ base, lastId: base, firstInMemory: index + 1, bytesInMemory: 0 });
    expect([index - 1, index, index + 1].map((at) => log.termAt(at))).toEqual([undefined, 5, undefined]);
    expect(log.framesFrom(index + 1, 1_000)).toEqual([]);
    log.append(commands(index + 1, 2, 5));
    expect(ranges(log.framesFrom(index + 1, 1_000))).toEqual([[index + 1, index + 2]]);
    expect(log.lastNotAfter({ index: index + 9, term: 4 })).toEqual(base);
  });
});
