import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import { decodeFrames, encodeFrame } from "../../src/frame/codec.ts";
import { sliceFrame, sliceFrameToBytes } from "../../src/raft/frame.ts";
import { EntryType, type Frame } from "../../src/raft/types.ts";

const anyFrame = fc
  .tuple(
    fc.integer({ min: 1, max: 2 ** 40 }),
    fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 12 }),
  )
  .map(([index, payloads]) => encodeFrame({ index, term: 7 }, EntryType.command, payloads));

/** A slice is what decoding its own bytes gives. */
function expectWhole(slice: Frame): void {
  expect(decodeFrames(slice.bytes)).toEqual([slice]);
}

describe("sliceFrame", () => {
  it("returns exactly the entries asked for, sharing memory", () => {
    fc.assert(
      fc.property(anyFrame, fc.nat(), fc.nat(), (frame, a, b) => {
        const count = frame.last - frame.first + 1;
        const first = frame.first + Math.min(a % count, b % count);
        const last = frame.first + Math.max(a % count, b % count);
        const slice = sliceFrame(frame, first, last);
        expect(slice).toMatchObject({ first, last, term: 7, type: EntryType.command });
        expectWhole(slice);
        expect(slice.bytes.buffer).toBe(frame.bytes.buffer);
      }),
    );
  });

  it("returns the frame itself for all of it", () => {
    const frame = encodeFrame({ index: 4, term: 1 }, EntryType.command, [Uint8Array.of(1), Uint8Array.of(2)]);
    expect(sliceFrame(frame, 4, 5)).toBe(frame);
  });

  it.each([
    [3, 5],
    [4, 7],
    [6, 5],
  ])("refuses %i-%i of a frame that holds 4-6", (first, last) => {
    const frame = encodeFrame({ index: 4, term: 1 }, EntryType.command, Array(3).fill(Uint8Array.of(1)));
    expect(() => sliceFrame(frame, first, last)).toThrow(InvariantError);
  });
});

describe("sliceFrameToBytes", () => {
  it("returns as many entries as fit, but at least one", () => {
    fc.assert(
      fc.property(anyFrame, fc.nat(), fc.nat({ max: 2000 }), (frame, a, maxBytes) => {
        const first = frame.first + (a % (frame.last - frame.first + 1));
        const slice = sliceFrameToBytes(frame, first, maxBytes);
        expect(slice.first).toBe(first);
        expectWhole(slice);
        if (slice.last > first) expect(slice.bytes.length).toBeLessThanOrEqual(maxBytes);
        if (slice.last < frame.last) {
          expect(sliceFrame(frame, first, slice.last + 1).bytes.length).toBeGreaterThan(maxBytes);
        }
      }),
    );
  });

  it("refuses a start outside the frame", () => {
    const frame = encodeFrame({ index: 4, term: 1 }, EntryType.command, [Uint8Array.of(1)]);
    expect(() => sliceFrameToBytes(frame, 5, 10)).toThrow(InvariantError);
    expect(() => sliceFrameToBytes(frame, 3, 10)).toThrow(InvariantError);
  });
});
