import { varintSize, writeVarint } from "./varint.ts";

/** Pieces of the encodings of our own, which `VarintReader` reads: small ones, not for the hot path. */

export function numberPart(value: number): Uint8Array {
  const bytes = new Uint8Array(varintSize(value));
  writeVarint(bytes, 0, value);
  return bytes;
}

/** With the length before it. */
export function bytesPart(bytes: Uint8Array): Uint8Array {
  return joined([numberPart(bytes.length), bytes]);
}

export function textPart(text: string): Uint8Array {
  return bytesPart(Buffer.from(text));
}

/** In a buffer of their own. */
export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat(parts));
}
