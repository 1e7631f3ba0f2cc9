import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { expect } from "vitest";
import { type Entry, EntrySchema } from "../../gen/raft/v1/log_pb.js";
import { AppendEntriesRequestSchema } from "../../gen/raft/v1/raft_pb.js";
import { ENTRIES_FIELD, encodeFrame, MAX_CLIENT_ID_BYTES } from "../../src/frame/codec.ts";
import { type EntryId, EntryType, type Frame, MAX_INDEX, MAX_TERM, type ProposalIds } from "../../src/raft/types.ts";

/** What the generated code writes for the same entries. */
function generated(first: EntryId, type: EntryType, payloads: readonly Uint8Array[], ids?: ProposalIds): Uint8Array {
  const entries = payloads.map((command, i) => {
    const { clientId, sequence } = ids?.[i] ?? { clientId: "", sequence: 0 };
    const place = { index: BigInt(first.index + i), term: BigInt(first.term) };
    return create(EntrySchema, { ...place, type, command, clientId, sequence: BigInt(sequence) });
  });
  return toBinary(AppendEntriesRequestSchema, create(AppendEntriesRequestSchema, { entries }));
}

export function expectGenerated(
  frame: Frame,
  first: EntryId,
  payloads: readonly Uint8Array[],
  ids?: ProposalIds,
): void {
  expect(Buffer.compare(frame.bytes, generated(first, frame.type, payloads, ids))).toBe(0);
}

/** Values on both sides of each varint length, up to `max`. */
function aroundVarintLimits(max: number): fc.Arbitrary<number> {
  const limits = [7, 14, 21, 28, 32, 35, 42, 49].map((bits) => 2 ** bits);
  const values = [1, ...limits.flatMap((limit) => [limit - 1, limit, limit + 1]), max];
  return fc.oneof(fc.constantFrom(...values.filter((value) => value <= max)), fc.integer({ min: 1, max }));
}

export const anyId = fc.record({ index: aroundVarintLimits(MAX_INDEX - 100), term: aroundVarintLimits(MAX_TERM) });
const anyPayload = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.constantFrom(0, 1, 100, 126, 127, 128, 129, 16_383, 16_384).map((length) => new Uint8Array(length).fill(length)),
);
export const anyPayloads = fc.array(anyPayload, { minLength: 1, maxLength: 8 });

const anyClientId = fc.oneof(
  fc.string({ minLength: 1, maxLength: 16, unit: "grapheme-composite" }),
  fc.constantFrom("x", "x".repeat(64), "ü".repeat(32), "\0"),
);
const anyProposalId = fc.option(
  fc.record({
    clientId: anyClientId.filter((id) => Buffer.byteLength(id) <= MAX_CLIENT_ID_BYTES),
    sequence: aroundVarintLimits(Number.MAX_SAFE_INTEGER),
  }),
  { nil: undefined },
);

/** Commands, each with an id or without one. */
export const anyProposals = fc
  .array(fc.tuple(anyPayload, anyProposalId), { minLength: 1, maxLength: 8 })
  .map((proposals) => ({ payloads: proposals.map(([payload]) => payload), ids: proposals.map(([, id]) => id) }));

/** A run of frames, each following the one before, as a leader would send them. */
export const anyFrames = fc
  .tuple(
    fc.record({ index: aroundVarintLimits(MAX_INDEX - 1000), term: aroundVarintLimits(MAX_TERM - 100) }),
    fc.array(
      fc.record({
        termStep: fc.integer({ min: 0, max: 3 }),
        type: fc.constantFrom(...Object.values(EntryType)),
        proposals: anyProposals,
      }),
      { minLength: 1, maxLength: 6 },
    ),
  )
  .map(([{ index, term }, runs]) => {
    const frames: Frame[] = [];
    let next = { index, term };
    for (const { termStep, type, proposals } of runs) {
      next = { index: next.index, term: next.term + termStep };
      const { payloads, ids } = proposals;
      const frame =
        type === EntryType.command
          ? encodeFrame(next, type, payloads, ids)
          : encodeFrame(next, type, payloads.slice(0, 1));
      frames.push(frame);
      next = { index: frame.last + 1, term: next.term };
    }
    return frames;
  });

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** One entry's record, field by field as given. */
export function record(write: (writer: BinaryWriter) => void): Uint8Array {
  const entry = new BinaryWriter();
  write(entry);
  return new BinaryWriter().tag(ENTRIES_FIELD, WireType.LengthDelimited).bytes(entry.finish()).finish();
}

export function entryOf(
  fields: Partial<Pick<Entry, "index" | "term" | "type" | "sequence">> & { clientId?: Uint8Array },
) {
  return record((writer) => {
    if (fields.index !== undefined) writer.tag(1, WireType.Varint).uint64(fields.index);
    if (fields.term !== undefined) writer.tag(2, WireType.Varint).uint64(fields.term);
    if (fields.type !== undefined) writer.tag(3, WireType.Varint).int32(fields.type);
    if (fields.clientId !== undefined) writer.tag(5, WireType.LengthDelimited).bytes(fields.clientId);
    if (fields.sequence !== undefined) writer.tag(6, WireType.Varint).uint64(fields.sequence);
  });
}
