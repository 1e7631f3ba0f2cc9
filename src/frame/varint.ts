/**
 * Protobuf varints as safe integers. protobuf-es reads 64-bit fields as bigint, which costs an allocation for each; the
 * log's entries are read and written here instead.
 */

/** How many bytes `value`, a safe integer from 0, takes as a varint. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** Writes `value`, a safe integer from 0, at `offset` and returns the offset after it. */
export function writeVarint(bytes: Uint8Array, offset: number, value: number): number {
  let rest = value;
  let at = offset;
  while (rest >= 0x80) {
    bytes[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  bytes[at++] = rest;
  return at;
}

/** Reads varints one after the other. `at` is the offset of the next byte. */
export class VarintReader {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** The next varint. Throws a RangeError when it is cut off or above 2^53 - 1. */
  read(): number {
    let value = 0;
    let scale = 1;
    for (let length = 0; length < 10; length++) {
      if (this.at >= this.end) throw new RangeError("a varint is cut off");
      const byte = this.bytes[this.at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw new RangeError("a number is above 2^53 - 1");
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new RangeError("a varint is longer than 10 bytes");
  }

  /** A view of the bytes that a length precedes. Throws a RangeError as `read` and `advance` do. */
  readBytes(): Uint8Array {
    const length = this.read();
    const start = this.at;
    this.advance(length);
    return this.bytes.subarray(start, this.at);
  }

  /** Skips the value of a field with the given wire type. */
  skip(wireType: number): void {
    switch (wireType) {
      case WireType.varint:
        for (let length = 0; length < 10; length++) {
          if (this.at >= this.end) break;
          if ((this.bytes[this.at++] ?? 0) < 0x80) return;
        }
        throw new RangeError("a varint is cut off or longer than 10 bytes");
      case WireType.fixed64:
        return this.advance(8);
      case WireType.delimited:
        return this.advance(this.read());
      case WireType.fixed32:
        return this.advance(4);
      default:
        throw new RangeError(`wire type ${wireType} is not supported`);
    }
  }

  /** Moves on by `length` bytes. Throws a RangeError beyond the end. */
  advance(length: number): void {
    if (length > this.end - this.at) throw new RangeError("a field is cut off");
    this.at += length;
  }
}

export const WireType = { varint: 0, fixed64: 1, delimited: 2, fixed32: 5 } as const;
