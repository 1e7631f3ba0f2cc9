import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ReadLogResponse, ReadLogResponseSchema } from "../../gen/raft/v1/cluster_pb.js";
import { type ApplyStreamResponse, ApplyStreamResponseSchema } from "../../gen/raft/v1/log_pb.js";
import { AppendEntriesRequestSchema, AppendEntriesResponseSchema, type Handshake } from "../../gen/raft/v1/raft_pb.js";
import { decodeFrames, ENTRIES_FIELD } from "../frame/codec.ts";
import { VarintReader, varintSize, WireType, writeVarint } from "../frame/varint.ts";
import type { Frame } from "../raft/types.ts";
import { asBuffer, type Codec } from "./definition.ts";
import { OrderedFields, textFieldSize, uintFieldSize, writeTextField, writeUintField } from "./ordered-fields.ts";
import { toWire, type Uint64 } from "./uint64.ts";

/**
 * The messages that carry entries. A frame's bytes are `repeated Entry entries = 3` as protobuf writes it, so they are
 * put behind the generated encoding of the other fields as they are, and an entry is encoded only once in its life. Any
 * protobuf implementation reads the result; and what any of them writes, with its entries anywhere in the message, is
 * read here.
 */

/** An AppendEntriesRequest whose entries are frames. */
export interface AppendRequest {
  readonly fields: AppendFields;
  readonly frames: readonly Frame[];
}

/** The other fields of an AppendEntriesRequest. */
export interface AppendFields {
  readonly term: Uint64;
  readonly leaderId: string;
  readonly prevLogIndex: Uint64;
  readonly prevLogTerm: Uint64;
  readonly leaderCommit: Uint64;
  readonly sequence: Uint64;
  /** Only without entries; 0 for none. */
  readonly snapshotIndex: Uint64;
  readonly snapshotTerm: Uint64;
  readonly needSnapshot: boolean;
  /** In a stream's first message only. */
  readonly handshake?: Handshake | undefined;
}

/** An AppendEntriesResponse. */
export interface AppendAnswer {
  readonly term: Uint64;
  readonly success: boolean;
  readonly matchIndex: Uint64;
  readonly conflictIndex: Uint64;
  readonly conflictTerm: Uint64;
  readonly sequence: Uint64;
  /** 0 for none. */
  readonly snapshotIndex: Uint64;
  readonly snapshotTerm: Uint64;
  /** In a stream's first message only. */
  readonly handshake?: Handshake | undefined;
}

const NO_SNAPSHOT = { snapshotIndex: 0, snapshotTerm: 0 };

const ENTRIES_TAG = (ENTRIES_FIELD << 3) | WireType.delimited;

export const appendRequestCodec: Codec = { serialize: encodeAppendRequest, deserialize: decodeAppendRequest };

export const appendResponseCodec: Codec = { serialize: encodeAppendAnswer, deserialize: decodeAppendAnswer };

/** Answers of ApplyStream; batches come encoded already, by `encodeApplyBatch`. */
const applyResponseCodec: Codec = {
  serialize: (value: ApplyStreamResponse | Buffer) =>
    Buffer.isBuffer(value) ? value : asBuffer(toBinary(ApplyStreamResponseSchema, value)),
  deserialize: (bytes) => fromBinary(ApplyStreamResponseSchema, bytes),
};

/** Answers of ReadLog, encoded already, by `encodeReadLogResponse`. */
const readLogResponseCodec: Codec = {
  serialize: (value: ReadLogResponse | Buffer) =>
    Buffer.isBuffer(value) ? value : asBuffer(toBinary(ReadLogResponseSchema, value)),
  deserialize: (bytes) => fromBinary(ReadLogResponseSchema, bytes),
};

/** The codecs by message type, for `serviceDefinition`. */
export const entryCodecs: Readonly<Record<string, Codec>> = {
  [AppendEntriesRequestSchema.typeName]: appendRequestCodec,
  [AppendEntriesResponseSchema.typeName]: appendResponseCodec,
  [ApplyStreamResponseSchema.typeName]: applyResponseCodec,
  [ReadLogResponseSchema.typeName]: readLogResponseCodec,
};

/** A stream's first message, to and fro. */
export function introductionRequest(handshake: Handshake): AppendRequest {
  const numbers = { term: 0, prevLogIndex: 0, prevLogTerm: 0, leaderCommit: 0, sequence: 0 };
  return { fields: { ...numbers, leaderId: "", ...NO_SNAPSHOT, needSnapshot: false, handshake }, frames: [] };
}

export function introductionAnswer(handshake: Handshake): AppendAnswer {
  const numbers = { term: 0, matchIndex: 0, conflictIndex: 0, conflictTerm: 0, sequence: 0 };
  return { ...numbers, success: false, ...NO_SNAPSHOT, handshake };
}

/** The entries come last, so that what was encoded once is copied once more. */
function encodeAppendRequest({ fields, frames }: AppendRequest): Buffer {
  const { term, leaderId, prevLogIndex, prevLogTerm, leaderCommit, sequence, handshake } = fields;
  const { snapshotIndex, snapshotTerm, needSnapshot } = fields;
  // A handshake says all there is to say.
  if (handshake !== undefined) {
    return asBuffer(toBinary(AppendEntriesRequestSchema, create(AppendEntriesRequestSchema, { handshake })));
  }
  const offer = [snapshotIndex, snapshotTerm, Number(needSnapshot)];
  const numbers = [term, prevLogIndex, prevLogTerm, leaderCommit, sequence, ...offer];
  const size = numbers.reduce((sum: number, value) => sum + uintFieldSize(value), textFieldSize(leaderId));
  const out = Buffer.allocUnsafeSlow(size + framesSize(frames));
  let at = writeTextField(out, writeUintField(out, 0, 1, term), 2, leaderId);
  at = writeUintField(out, at, 4, prevLogIndex);
  at = writeUintField(out, at, 5, prevLogTerm);
  at = writeUintField(out, at, 6, leaderCommit);
  at = writeUintField(out, at, 7, sequence);
  for (const [i, value] of offer.entries()) at = writeUintField(out, at, 9 + i, value);
  writeFrames(out, at, frames);
  return out;
}

/** Throws when the bytes are not a message, or its entries not a run of entries. Keeps nothing of `bytes`. */
export function decodeAppendRequest(bytes: Uint8Array): AppendRequest {
  const entries: Range[] = [];
  const others: Range[] = [];
  const reader = new VarintReader(bytes, 0, bytes.length);
  while (reader.at < bytes.length) {
    const start = reader.at;
    const tag = reader.read();
    reader.skip(tag & 7);
    addRange(tag === ENTRIES_TAG ? entries : others, start, reader.at);
  }
  // The frames live long; an own copy keeps them from holding on to whatever else the connection's buffer holds.
  const frames = entries.length === 0 ? [] : decodeFrames(copyRanges(bytes, entries));
  return {
    fields: decodeAppendFields(others.length === 1 ? viewOf(bytes, others) : copyRanges(bytes, others)),
    frames,
  };
}

function decodeAppendFields(bytes: Uint8Array): AppendFields {
  const fields = new OrderedFields(bytes);
  const values = {
    term: fields.uint(1),
    leaderId: fields.text(2),
    prevLogIndex: fields.uint(4),
    prevLogTerm: fields.uint(5),
    leaderCommit: fields.uint(6),
    sequence: fields.uint(7),
    snapshotIndex: fields.uint(9),
    snapshotTerm: fields.uint(10),
    needSnapshot: fields.uint(11) !== 0,
  };
  return fields.isDone ? values : fromBinary(AppendEntriesRequestSchema, bytes);
}

function encodeAppendAnswer(answer: AppendAnswer): Buffer {
  const { term, success, matchIndex, conflictIndex, conflictTerm, sequence, handshake } = answer;
  const { snapshotIndex, snapshotTerm } = answer;
  if (handshake !== undefined) {
    return asBuffer(toBinary(AppendEntriesResponseSchema, create(AppendEntriesResponseSchema, { handshake })));
  }
  const numbers = [term, Number(success), matchIndex, conflictIndex, conflictTerm, sequence];
  const snapshot = [snapshotIndex, snapshotTerm];
  const out = Buffer.allocUnsafe(
    [...numbers, ...snapshot].reduce((sum: number, value) => sum + uintFieldSize(value), 0),
  );
  let at = 0;
  for (const [i, value] of numbers.entries()) at = writeUintField(out, at, i + 1, value);
  for (const [i, value] of snapshot.entries()) at = writeUintField(out, at, i + 8, value);
  return out;
}

function decodeAppendAnswer(bytes: Uint8Array): AppendAnswer {
  const fields = new OrderedFields(bytes);
  const answer = {
    term: fields.uint(1),
    success: fields.uint(2) !== 0,
    matchIndex: fields.uint(3),
    conflictIndex: fields.uint(4),
    conflictTerm: fields.uint(5),
    sequence: fields.uint(6),
    snapshotIndex: fields.uint(8),
    snapshotTerm: fields.uint(9),
  };
  return fields.isDone ? answer : fromBinary(AppendEntriesResponseSchema, bytes);
}

/** An ApplyStreamResponse with a batch: the frames, commands only, that were found in (prev, last]. */
export function encodeApplyBatch(prev: number, last: number, frames: readonly Frame[]): Buffer {
  const prevSize = prev === 0 ? 0 : 1 + varintSize(prev);
  const batchSize = prevSize + 1 + varintSize(last) + framesSize(frames);
  const out = Buffer.allocUnsafeSlow(1 + varintSize(batchSize) + batchSize);
  out[0] = (2 << 3) | WireType.delimited;
  let at = writeVarint(out, 1, batchSize);
  if (prev !== 0) {
    out[at++] = (1 << 3) | WireType.varint;
    at = writeVarint(out, at, prev);
  }
  out[at++] = (2 << 3) | WireType.varint;
  at = writeVarint(out, at, last);
  writeFrames(out, at, frames);
  return out;
}

export function encodeReadLogResponse(commitIndex: number, frames: readonly Frame[]): Buffer {
  const fields = create(ReadLogResponseSchema, { commitIndex: toWire(commitIndex) });
  return withFrames(toBinary(ReadLogResponseSchema, fields), frames);
}

/** How many bytes the frames take in a message. */
export function framesSize(frames: readonly Frame[]): number {
  let size = 0;
  for (const frame of frames) size += frame.bytes.length;
  return size;
}

function withFrames(fields: Uint8Array, frames: readonly Frame[]): Buffer {
  const out = Buffer.allocUnsafeSlow(fields.length + framesSize(frames));
  out.set(fields);
  writeFrames(out, fields.length, frames);
  return out;
}

function writeFrames(out: Buffer, offset: number, frames: readonly Frame[]): void {
  let at = offset;
  for (const frame of frames) {
    out.set(frame.bytes, at);
    at += frame.bytes.length;
  }
}

interface Range {
  start: number;
  end: number;
}

/** Adds a field, to the last range when it follows that. */
function addRange(ranges: Range[], start: number, end: number): void {
  const last = ranges.at(-1);
  if (last?.end === start) last.end = end;
  else ranges.push({ start, end });
}

function viewOf(bytes: Uint8Array, [range]: readonly Range[]): Uint8Array {
  return bytes.subarray(range?.start, range?.end);
}

function copyRanges(bytes: Uint8Array, ranges: readonly Range[]): Uint8Array {
  const out = new Uint8Array(ranges.reduce((size, { start, end }) => size + end - start, 0));
  let at = 0;
  for (const { start, end } of ranges) {
    out.set(bytes.subarray(start, end), at);
    at += end - start;
  }
  return out;
}
