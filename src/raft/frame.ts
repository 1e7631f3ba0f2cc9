import { assert } from "../assert.ts";
import type { Frame } from "./types.ts";

/** The entries of `frame` from index `first` to index `last`, both within it. Shares the frame's memory. */
export function sliceFrame(frame: Frame, first: number, last: number): Frame {
  assert(frame.first <= first && first <= last && last <= frame.last, `slice ${first}-${last} is outside the frame`);
  if (first === frame.first && last === frame.last) return frame;
  const start = first === frame.first ? 0 : endOf(frame, first - 1);
  const ends = frame.ends.slice(first - frame.first, last - frame.first + 1);
  for (let i = 0; i < ends.length; i++) ends[i] = (ends[i] ?? 0) - start;
  return {
    first,
    last,
    term: frame.term,
    type: frame.type,
    bytes: frame.bytes.subarray(start, endOf(frame, last)),
    ends,
  };
}

/** The part of `frame` from `first` on that fits in `maxBytes`, but never less than one entry. */
export function sliceFrameToBytes(frame: Frame, first: number, maxBytes: number): Frame {
  const start = first === frame.first ? 0 : endOf(frame, first - 1);
  if (frame.bytes.length - start <= maxBytes) return sliceFrame(frame, first, frame.last);
  let last = first;
  while (last < frame.last && endOf(frame, last + 1) - start <= maxBytes) last++;
  return sliceFrame(frame, first, last);
}

/** Where the entry at `index` ends in the frame's bytes. */
function endOf(frame: Frame, index: number): number {
  const end = frame.ends[index - frame.first];
  assert(end !== undefined, `index ${index} is outside the frame ${frame.first}-${frame.last}`);
  return end;
}
