import { assert } from "../assert.ts";
import type { EntryType, Frame } from "../raft/types.ts";

/**
 * Frames in one buffer, to be transferred between threads. A message with an array of views would copy the whole
 * backing store of each.
 *
 * Layout: the number of frames and five numbers for each (float64), then all `ends` (uint32), then all bytes.
 */

const NUMBERS_PER_FRAME = 5;

/** Copies the frames: the caller's memory stays the caller's. */
export function packFrames(frames: readonly Frame[]): ArrayBuffer {
  let entries = 0;
  let byteLength = 0;
  for (const frame of frames) {
    entries += frame.ends.length;
    byteLength += frame.bytes.length;
  }
  const endsAt = (1 + NUMBERS_PER_FRAME * frames.length) * Float64Array.BYTES_PER_ELEMENT;
  const bytesAt = endsAt + entries * Uint32Array.BYTES_PER_ELEMENT;
  const buffer = new ArrayBuffer(bytesAt + byteLength);
  const numbers = new Float64Array(buffer, 0, 1 + NUMBERS_PER_FRAME * frames.length);
  const ends = new Uint32Array(buffer, endsAt, entries);
  const bytes = new Uint8Array(buffer, bytesAt);
  numbers[0] = frames.length;
  let at = 1;
  let endAt = 0;
  let byteAt = 0;
  for (const frame of frames) {
    numbers.set([frame.first, frame.last, frame.term, frame.type, frame.bytes.length], at);
    ends.set(frame.ends, endAt);
    bytes.set(frame.bytes, byteAt);
    at += NUMBERS_PER_FRAME;
    endAt += frame.ends.length;
    byteAt += frame.bytes.length;
  }
  return buffer;
}

/** The frames of a packed buffer, as views of it: a frame that is kept keeps all of them. */
export function unpackFrames(buffer: ArrayBuffer): Frame[] {
  const count = new Float64Array(buffer, 0, 1)[0] ?? 0;
  const numbers = new Float64Array(buffer, 0, 1 + NUMBERS_PER_FRAME * count);
  const headers: { first: number; last: number; term: number; type: EntryType; byteLength: number }[] = [];
  let entries = 0;
  for (let at = 1; at < numbers.length; at += NUMBERS_PER_FRAME) {
    const [first = 0, last = 0, term = 0, type = 0, byteLength = 0] = numbers.subarray(at, at + NUMBERS_PER_FRAME);
    headers.push({ first, last, term, type: type as EntryType, byteLength });
    entries += last - first + 1;
  }
  let endsAt = numbers.byteLength;
  let bytesAt = endsAt + entries * Uint32Array.BYTES_PER_ELEMENT;
  const frames = headers.map(({ first, last, term, type, byteLength }): Frame => {
    const ends = new Uint32Array(buffer, endsAt, last - first + 1);
    const bytes = new Uint8Array(buffer, bytesAt, byteLength);
    endsAt += ends.byteLength;
    bytesAt += byteLength;
    return { first, last, term, type, bytes, ends };
  });
  assert(bytesAt === buffer.byteLength, "packed frames fill their buffer");
  return frames;
}
