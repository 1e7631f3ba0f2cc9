import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import { encodeFrame } from "../../src/frame/codec.ts";
import { Log } from "../../src/raft/log.ts";
import { EntryType, ZERO_ID } from "../../src/raft/types.ts";
import { commands } from "../support/core.ts";

const base = { index: 5, term: 2 };

describe("a log behind a snapshot", () => {
  it("refuses an end before its base, terms of entries that it doesn't have, and two terms at one place", () => {
    expect(() => new Log(base, 4, [])).toThrow("before its base");
    expect(() => new Log(base, 5, [{ index: 6, term: 2 }])).toThrow(InvariantError);
    for (const index of [6, 5]) {
      const starts = [
        { index: 6, term: 2 },
        { index, term: 3 },
      ];
      expect(() => new Log(base, 9, starts)).toThrow("out of order");
    }
  });

  it("knows the term of its first entries also when that is the base's", () => {
    const log = new Log(base, 5, []);
    log.append(commands(6, 2, 2));
    expect([6, 7].map((index) => log.termAt(index))).toEqual([2, 2]);
  });

  it("may match at its base in the base's own term, not in that of the entry after it", () => {
    const log = new Log(base, 6, [{ index: 6, term: 4 }]);
    expect(log.lastNotAfter({ index: 5, term: 9 })).toEqual(base);
  });

  it("is never cut at its base or before", () => {
    const log = new Log(base, 7, [{ index: 6, term: 3 }]);
    for (const index of [5, 4, 8]) expect(() => log.truncateFrom(index)).toThrow("cannot truncate");
    log.truncateFrom(6);
    expect(log.lastId).toEqual(base);
  });
});

describe("entries in memory", () => {
  it("are handed out without a gap, though a later one would still fit", () => {
    const log = new Log(ZERO_ID, 0, []);
    log.append(encodeFrame({ index: 1, term: 1 }, EntryType.command, [new Uint8Array(1), new Uint8Array(200)]));
    log.append(commands(3, 1, 1));
    expect(log.framesFrom(1, 50)).toMatchObject([{ first: 1, last: 1 }]);
  });

  it("are forgotten down to seven eighths of the budget, to the byte", () => {
    const log = new Log(ZERO_ID, 0, []);
    for (let index = 1; index <= 9; index++) log.append(commands(index, 1, 1));
    log.evict(9, 8 * commands(1, 1, 1).bytes.length);
    expect(log.firstInMemory).toBe(3);
  });
});
