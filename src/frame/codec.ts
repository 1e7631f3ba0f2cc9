import { isUtf8 } from "node:buffer";
import { assert } from "../assert.ts";
import {
  type EntryId,
  EntryType,
  type Frame,
  MAX_INDEX,
  MAX_TERM,
  type ProposalId,
  type ProposalIds,
} from "../raft/types.ts";
import { VarintReader, varintSize, WireType, writeVarint } from "./varint.ts";

/**
 * The encoding of the log's entries. A frame's bytes are `repeated raft.v1.Entry entries = 3` exactly as protobuf writes
 * it, which is the same in AppendEntriesRequest, ApplyBatch and ReadLogResponse: bytes encoded once on the leader serve
 * every follower, every disk and every subscriber. A test holds it against the generated code byte for byte.
 */

/** The field number that `entries` has in every message that carries entries. */
export const ENTRIES_FIELD = 3;

const ENTRIES_TAG = (ENTRIES_FIELD << 3) | WireType.delimited;
/** Field numbers end at 2^29 - 1. */
const MAX_TAG = 2 ** 32 - 1;
const INDEX_TAG = (1 << 3) | WireType.varint;
const TERM_TAG = (2 << 3) | WireType.varint;
const TYPE_TAG = (3 << 3) | WireType.varint;
const COMMAND_TAG = (4 << 3) | WireType.delimited;
const CLIENT_ID_TAG = (5 << 3) | WireType.delimited;
const SEQUENCE_TAG = (6 << 3) | WireType.varint;
const LAST_FIELD = 6;

/** The longest client id, in bytes of UTF-8. */
export const MAX_CLIENT_ID_BYTES = 64;

const ENTRY_TYPES: ReadonlySet<number> = new Set(Object.values(EntryType));

const NOTHING: Uint8Array = new Uint8Array(0);

/** What a peer or a disk gave as entries is not a run of entries. The message says what is wrong with it. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

/** One entry, decoded. */
export interface DecodedEntry {
  readonly index: number;
  readonly term: number;
  readonly type: EntryType;
  /** A view of the frame's bytes. */
  readonly command: Uint8Array;
  /** A view of the frame's bytes, in UTF-8; empty when the command was proposed without an id. */
  readonly clientId: Uint8Array;
  /** 0 when the command was proposed without an id. */
  readonly sequence: number;
}

/** Encodes entries that follow each other, from `first` on. Internal entries are encoded one at a time. */
export function encodeFrame(
  first: EntryId,
  type: EntryType,
  payloads: readonly Uint8Array[],
  ids?: ProposalIds | undefined,
): Frame {
  assert(payloads.length > 0, "a frame holds at least one entry");
  assert(type === EntryType.command || payloads.length === 1, "an internal entry is alone in its frame");
  assert(ids === undefined || ids.length === payloads.length, "each command has its own id, or none has");
  const suffixes = ids?.map(encodeId);
  const termAndTypeSize = 1 + varintSize(first.term) + 1 + varintSize(type);
  const ends = new Uint32Array(payloads.length);
  let total = 0;
  for (const [i, payload] of payloads.entries()) {
    const size = entrySize(first.index + i, termAndTypeSize, payload, suffixes?.[i]);
    total += 1 + varintSize(size) + size;
    ends[i] = total;
  }
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const [i, payload] of payloads.entries()) {
    bytes[at++] = ENTRIES_TAG;
    const suffix = suffixes?.[i] ?? NOTHING;
    at = writeVarint(bytes, at, entrySize(first.index + i, termAndTypeSize, payload, suffix));
    bytes[at++] = INDEX_TAG;
    at = writeVarint(bytes, at, first.index + i);
    bytes[at++] = TERM_TAG;
    at = writeVarint(bytes, at, first.term);
    bytes[at++] = TYPE_TAG;
    at = writeVarint(bytes, at, type);
    if (payload.length > 0) {
      bytes[at++] = COMMAND_TAG;
      at = writeVarint(bytes, at, payload.length);
      bytes.set(payload, at);
      at += payload.length;
    }
    bytes.set(suffix, at);
    at += suffix.length;
  }
  assert(at === total, "a frame's size was computed wrongly");
  return { first: first.index, last: first.index + payloads.length - 1, term: first.term, type, bytes, ends };
}

/** The two fields of an id, as they end an entry. */
function encodeId(id: ProposalId | undefined): Uint8Array {
  if (id === undefined) return NOTHING;
  const length = Buffer.byteLength(id.clientId);
  assert(length >= 1 && length <= MAX_CLIENT_ID_BYTES, `a client id has 1 to ${MAX_CLIENT_ID_BYTES} bytes`);
  assert(Number.isSafeInteger(id.sequence) && id.sequence >= 1, `${id.sequence} is not a sequence`);
  const bytes = Buffer.allocUnsafe(2 + length + 1 + varintSize(id.sequence));
  bytes[0] = CLIENT_ID_TAG;
  bytes[1] = length;
  bytes.write(id.clientId, 2);
  bytes[2 + length] = SEQUENCE_TAG;
  writeVarint(bytes, 3 + length, id.sequence);
  return bytes;
}

/** An upper bound of what a command of this many bytes takes in a frame. */
export function encodedSizeBound(commandBytes: number): number {
  return commandBytes + MAX_ENTRY_OVERHEAD;
}

/** Tag and length of the record, index, term, type, tag and length of the command; client id and sequence. */
const MAX_ENTRY_OVERHEAD = 40 + (2 + MAX_CLIENT_ID_BYTES) + 9;

/**
 * Splits `bytes`, encoded entries, into frames: a new one wherever the term changes and around every internal entry.
 * The frames are views of `bytes`.
 *
 * Throws a FrameError when the bytes are not entries, when indexes are not contiguous, terms fall, a number is out of
 * range, or a type is unknown: an unknown type must never be skipped.
 */
export function decodeFrames(bytes: Uint8Array): Frame[] {
  const frames: Frame[] = [];
  const ends: number[] = [];
  let start = 0;
  let head: DecodedEntry | undefined;
  let previous: DecodedEntry | undefined;
  const close = (end: number): void => {
    if (head === undefined || previous === undefined) return;
    frames.push({
      first: head.index,
      last: previous.index,
      term: head.term,
      type: head.type,
      bytes: bytes.subarray(start, end),
      ends: Uint32Array.from(ends),
    });
    start = end;
    ends.length = 0;
  };
  let recordStart = 0;
  forEachEntry(bytes, (entry, recordEnd) => {
    if (previous !== undefined && entry.index !== previous.index + 1) {
      throw new FrameError(`entry ${entry.index} follows entry ${previous.index}`);
    }
    if (previous !== undefined && entry.term < previous.term) {
      throw new FrameError(`the term falls from ${previous.term} to ${entry.term} at entry ${entry.index}`);
    }
    if (
      head === undefined ||
      entry.term !== head.term ||
      entry.type !== EntryType.command ||
      head.type !== EntryType.command
    ) {
      close(recordStart);
      head = entry;
    }
    previous = entry;
    ends.push(recordEnd - start);
    recordStart = recordEnd;
  });
  close(bytes.length);
  return frames;
}

/** The entries of encoded bytes, one by one. Throws a FrameError as `decodeFrames` does for a single entry. */
export function decodeEntries(bytes: Uint8Array): DecodedEntry[] {
  const entries: DecodedEntry[] = [];
  forEachEntry(bytes, (entry) => entries.push(entry));
  return entries;
}

/** Bytes of UTF-8 as a string, without a copy of them. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

function forEachEntry(bytes: Uint8Array, visit: (entry: DecodedEntry, recordEnd: number) => void): void {
  try {
    const reader = new VarintReader(bytes, 0, bytes.length);
    while (reader.at < bytes.length) {
      if (reader.read() !== ENTRIES_TAG) throw new FrameError("a record is not an entry");
      const length = reader.read();
      const start = reader.at;
      reader.advance(length);
      visit(decodeEntry(bytes, start, reader.at), reader.at);
    }
  } catch (error) {
    if (error instanceof RangeError) throw new FrameError(error.message, { cause: error });
    throw error;
  }
}

function decodeEntry(bytes: Uint8Array, start: number, end: number): DecodedEntry {
  const reader = new VarintReader(bytes, start, end);
  let index = 0;
  let term = 0;
  let type = 0;
  let command = NOTHING;
  let clientId = NOTHING;
  let sequence = 0;
  while (reader.at < end) {
    const tag = reader.read();
    switch (tag) {
      case INDEX_TAG:
        index = reader.read();
        break;
      case TERM_TAG:
        term = reader.read();
        break;
      case TYPE_TAG:
        type = reader.read();
        break;
      case COMMAND_TAG:
        command = reader.readBytes();
        break;
      case CLIENT_ID_TAG:
        clientId = reader.readBytes();
        break;
      case SEQUENCE_TAG:
        sequence = reader.read();
        break;
      default:
        if (tag < 8 || tag > MAX_TAG) throw new FrameError(`an entry has the invalid field tag ${tag}`);
        if (tag >> 3 >= 1 && tag >> 3 <= LAST_FIELD)
          throw new FrameError(`field ${tag >> 3} of an entry has a wrong wire type`);
        reader.skip(tag & 7);
    }
  }
  if (index < 1 || index > MAX_INDEX) throw new FrameError(`index ${index} is out of range`);
  if (term < 1 || term > MAX_TERM) throw new FrameError(`term ${term} of entry ${index} is out of range`);
  if (!isEntryType(type)) throw new FrameError(`entry ${index} has the unknown type ${type}`);
  if (clientId.length > 0 !== sequence > 0) throw new FrameError(`entry ${index} has half a proposal's id`);
  if (clientId.length > MAX_CLIENT_ID_BYTES || !isUtf8(clientId)) {
    throw new FrameError(`the client id of entry ${index} is not 1 to ${MAX_CLIENT_ID_BYTES} bytes of UTF-8`);
  }
  return { index, term, type, command, clientId, sequence };
}

function isEntryType(type: number): type is EntryType {
  return ENTRY_TYPES.has(type);
}

function entrySize(index: number, termAndTypeSize: number, payload: Uint8Array, suffix = NOTHING): number {
  const command = payload.length === 0 ? 0 : 1 + varintSize(payload.length) + payload.length;
  return 1 + varintSize(index) + termAndTypeSize + command + suffix.length;
}
