import { crc32 } from "node:zlib";
import { decodeFrames, FrameError } from "../frame/codec.ts";
import { VarintReader } from "../frame/varint.ts";
import type { Frame } from "../raft/types.ts";
import { BRING_BACK, StorageError } from "./error.ts";

/** Bytes of a CRC32. */
export const CHECKSUM_BYTES = 4;

/** A frame as one row holds it. `checksums` has the CRC32 of each entry's record, 4 bytes each, little-endian. */
export interface FrameRow {
  readonly first: number;
  readonly last: number;
  readonly term: number;
  readonly type: number;
  readonly checksums: Uint8Array;
  readonly bytes: Uint8Array;
}

/** The CRC32 of each entry's record, as `FrameRow.checksums`. */
export function entryChecksums(frame: Frame): Uint8Array {
  const checksums = new Uint8Array(frame.ends.length * CHECKSUM_BYTES);
  const view = new DataView(checksums.buffer);
  let start = 0;
  for (let i = 0; i < frame.ends.length; i++) {
    const end = frame.ends[i] ?? start;
    view.setUint32(i * CHECKSUM_BYTES, crc32(frame.bytes.subarray(start, end)), true);
    start = end;
  }
  return checksums;
}

/**
 * The frame that a row holds. Throws a StorageError that names the first damaged entry: its checksum differs, or the
 * row says something else than its bytes.
 */
export function verifyFrame(row: FrameRow): Frame {
  verifyChecksums(row);
  const [frame, ...others] = decode(row);
  if (
    frame === undefined ||
    others.length > 0 ||
    frame.first !== row.first ||
    frame.last !== row.last ||
    frame.term !== row.term ||
    frame.type !== row.type
  ) {
    const found = frame === undefined ? "nothing" : `entries from ${frame.first} in term ${frame.term}`;
    throw damaged(row.first, `its row says entries ${row.first}-${row.last} of term ${row.term} but holds ${found}`);
  }
  return frame;
}

/** Goes from record to record, so that the first wrong byte is found in its own entry, lengths included. */
function verifyChecksums(row: FrameRow): void {
  const count = row.last - row.first + 1;
  if (count < 1 || row.checksums.length !== count * CHECKSUM_BYTES) {
    throw damaged(row.first, `its row says ${count} entries and has ${row.checksums.length} bytes of checksums`);
  }
  const checksums = new DataView(row.checksums.buffer, row.checksums.byteOffset, row.checksums.length);
  const reader = new VarintReader(row.bytes, 0, row.bytes.length);
  for (let i = 0; i < count; i++) {
    const start = reader.at;
    if (!maybeSkipRecord(reader)) throw damaged(row.first + i, "its record is cut off");
    if (crc32(row.bytes.subarray(start, reader.at)) !== checksums.getUint32(i * CHECKSUM_BYTES, true)) {
      throw damaged(row.first + i, "its checksum differs");
    }
  }
  if (reader.at !== row.bytes.length) throw damaged(row.last, "its row is longer than its entries");
}

/** Moves over one record, tag and length included. False when it does not end within the bytes. */
function maybeSkipRecord(reader: VarintReader): boolean {
  try {
    reader.read();
    reader.advance(reader.read());
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function decode(row: FrameRow): Frame[] {
  try {
    return decodeFrames(row.bytes);
  } catch (error) {
    if (error instanceof FrameError) throw damaged(row.first, error.message);
    throw error;
  }
}

/** The error for a damaged entry of the log. */
export function damaged(index: number, detail: string): StorageError {
  return new StorageError("damaged", `the log is damaged at index ${index}: ${detail}. ${BRING_BACK}`);
}

/** CRC32 of a row's values, for the small tables. */
export function rowChecksum(values: readonly (string | number | Uint8Array)[]): number {
  return crc32(JSON.stringify(values.map((value) => (value instanceof Uint8Array ? [...value] : value))));
}
