import { expect, it } from "vitest";
import { encodeFrame } from "../../src/frame/codec.ts";
import { sliceFrame, sliceFrameToBytes } from "../../src/raft/frame.ts";
import { EntryType } from "../../src/raft/types.ts";
import { commands } from "../support/core.ts";

const frame = commands(5, 4, 2, 10);

it.each([
  [4, 6],
  [6, 9],
  [7, 6],
  [2, 3],
  [10, 12],
])("a slice from %d to %d of a frame from 5 to 8 is refused", (first, last) => {
  expect(() => sliceFrame(frame, first, last)).toThrow(`slice ${first}-${last}`);
});

it("a slice by bytes takes what fits to the byte, and refuses what lies outside", () => {
  const size = frame.bytes.length / 4;
  expect(sliceFrameToBytes(frame, 6, 2 * size)).toEqual(commands(6, 2, 2, 10));
  expect(sliceFrameToBytes(frame, 6, 2 * size - 1)).toEqual(commands(6, 1, 2, 10));
  expect(sliceFrameToBytes(frame, 6, 3 * size)).toEqual(commands(6, 3, 2, 10));
  expect(() => sliceFrameToBytes(frame, 20, 10)).toThrow("index 19");
});

it("entries of different sizes are cut where they end", () => {
  const mixed = encodeFrame({ index: 1, term: 1 }, EntryType.command, [new Uint8Array(1), new Uint8Array(200)]);
  const [first] = mixed.ends;
  expect(sliceFrame(mixed, 2, 2)).toMatchObject({ first: 2, last: 2, bytes: mixed.bytes.subarray(first) });
});
