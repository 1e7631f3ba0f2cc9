import { fromBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AppendEntriesRequestSchema } from "../../gen/raft/v1/raft_pb.js";
import { decodeEntries, decodeFrames, encodeFrame, FrameError } from "../../src/frame/codec.ts";
import { EntryType, MAX_INDEX, MAX_TERM } from "../../src/raft/types.ts";
import { anyFrames, anyId, anyPayloads, anyProposals, concat, entryOf, record } from "./support.ts";

describe("decodeFrames", () => {
  it("returns the frames that were encoded, commands of one term joined", () => {
    fc.assert(
      fc.property(anyFrames, (frames) => {
        const bytes = concat(frames.map((frame) => frame.bytes));
        const decoded = decodeFrames(bytes);
        expect(Buffer.compare(concat(decoded.map((frame) => frame.bytes)), bytes)).toBe(0);
        const joined: { first: number; last: number; term: number; type: EntryType }[] = [];
        for (const { first, last, term, type } of frames) {
          const before = joined.at(-1);
          const joins = before?.term === term && before.type === EntryType.command && type === EntryType.command;
          if (joins) before.last = last;
          else joined.push({ first, last, term, type });
        }
        expect(decoded.map(({ first, last, term, type }) => ({ first, last, term, type }))).toEqual(joined);
        for (const { first, last, bytes: frameBytes, ends } of decoded) {
          expect(ends).toHaveLength(last - first + 1);
          expect(ends.at(-1)).toBe(frameBytes.length);
          let start = 0;
          for (const [i, end] of ends.entries()) {
            expect(decodeEntries(frameBytes.subarray(start, end))).toMatchObject([{ index: first + i }]);
            start = end;
          }
        }
      }),
    );
  });

  it("returns the commands", () => {
    fc.assert(
      fc.property(anyId, anyPayloads, (first, payloads) => {
        const entries = decodeEntries(encodeFrame(first, EntryType.command, payloads).bytes);
        expect(entries.map(({ command }) => [...command])).toEqual(payloads.map((payload) => [...payload]));
        expect(entries[0]).toMatchObject(first);
      }),
    );
  });

  it("returns the ids of proposals", () => {
    fc.assert(
      fc.property(anyId, anyProposals, (first, { payloads, ids }) => {
        const entries = decodeEntries(encodeFrame(first, EntryType.command, payloads, ids).bytes);
        expect(
          entries.map(({ clientId, sequence }) => ({ clientId: Buffer.from(clientId).toString(), sequence })),
        ).toEqual(ids.map((id) => id ?? { clientId: "", sequence: 0 }));
      }),
    );
  });

  it("returns nothing for no bytes", () => {
    expect(decodeFrames(new Uint8Array(0))).toEqual([]);
  });

  it("starts a frame at each change of term and around each internal entry", () => {
    const parts = [
      encodeFrame({ index: 5, term: 2 }, EntryType.command, [Uint8Array.of(1), Uint8Array.of(2)]),
      encodeFrame({ index: 7, term: 3 }, EntryType.noOp, [new Uint8Array(0)]),
      encodeFrame({ index: 8, term: 3 }, EntryType.noOp, [new Uint8Array(0)]),
      encodeFrame({ index: 9, term: 3 }, EntryType.command, [Uint8Array.of(3)]),
      encodeFrame({ index: 10, term: 4 }, EntryType.command, [Uint8Array.of(4)]),
    ];
    expect(decodeFrames(concat(parts.map(({ bytes }) => bytes)))).toEqual(parts);
  });

  it("refuses bytes that are cut off, wherever that is not between two entries", () => {
    fc.assert(
      fc.property(anyFrames, fc.nat(), (frames, cut) => {
        const bytes = concat(frames.map((frame) => frame.bytes));
        const boundaries = new Set([0]);
        let start = 0;
        for (const frame of frames) {
          for (const end of frame.ends) boundaries.add(start + end);
          start += frame.bytes.length;
        }
        const length = cut % bytes.length;
        if (boundaries.has(length)) expect(() => decodeFrames(bytes.subarray(0, length))).not.toThrow();
        else expect(() => decodeFrames(bytes.subarray(0, length))).toThrow(FrameError);
      }),
    );
  });

  it("throws nothing but a FrameError, whatever the bytes", () => {
    fc.assert(
      fc.property(anyFrames, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }), (frames, changes) => {
        const bytes = concat(frames.map((frame) => frame.bytes));
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        try {
          decodeFrames(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(FrameError);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("accepts what the generated code accepts: other field orders, repeated and unknown fields", () => {
    const bytes = record((writer) => {
      writer.tag(15, WireType.LengthDelimited).bytes(new Uint8Array(200));
      writer.tag(4, WireType.LengthDelimited).bytes(Uint8Array.of(1, 2, 3));
      writer.tag(3, WireType.Varint).int32(EntryType.command);
      writer.tag(16, WireType.Varint).uint64(2n ** 64n - 1n);
      writer.tag(17, WireType.Bit32).fixed32(1);
      writer.tag(2, WireType.Varint).uint64(6n);
      writer.tag(1, WireType.Varint).uint64(11n);
      writer.tag(1, WireType.Varint).uint64(12n);
      writer.tag(2 ** 29 - 1, WireType.Bit64).fixed64(1n);
    });
    const [entry] = fromBinary(AppendEntriesRequestSchema, bytes).entries;
    expect(entry).toMatchObject({ index: 12n, term: 6n, type: EntryType.command, command: Uint8Array.of(1, 2, 3) });
    const following = encodeFrame({ index: 13, term: 6 }, EntryType.command, [Uint8Array.of(4)]);
    expect(decodeFrames(concat([bytes, following.bytes]))).toMatchObject([{ first: 12, last: 13, term: 6 }]);
    expect(decodeEntries(bytes)).toMatchObject([{ index: 12, term: 6, type: 1, command: Uint8Array.of(1, 2, 3) }]);
  });

  const good = { index: 5n, term: 3n, type: EntryType.command };
  it.each([
    ["a gap", [good, { ...good, index: 7n }], "entry 7 follows entry 5"],
    ["a repeated index", [good, good], "entry 5 follows entry 5"],
    ["a falling term", [good, { ...good, index: 6n, term: 2n }], "the term falls from 3 to 2 at entry 6"],
    ["an unknown type", [{ ...good, type: 5 as EntryType }], "entry 5 has the unknown type 5"],
    ["a negative type", [{ ...good, type: -1 as EntryType }], "a number is above 2^53 - 1"],
    ["no type", [{ index: 5n, term: 3n }], "entry 5 has the unknown type 0"],
    ["no index", [{ term: 3n, type: EntryType.command }], "index 0 is out of range"],
    ["no term", [{ index: 5n, type: EntryType.command }], "term 0 of entry 5 is out of range"],
    [
      "an index above the limit",
      [{ ...good, index: BigInt(MAX_INDEX) + 1n }],
      "index 4503599627370497 is out of range",
    ],
    ["a term above the limit", [{ ...good, term: BigInt(MAX_TERM) + 1n }], "term 4503599627370497 of entry 5"],
    ["a term of 2^53 - 1", [{ ...good, term: 2n ** 53n - 1n }], "term 9007199254740991 of entry 5 is out of range"],
    ["half an id: no sequence", [{ ...good, clientId: Buffer.from("x") }], "entry 5 has half a proposal's id"],
    ["half an id: no client id", [{ ...good, sequence: 1n }], "entry 5 has half a proposal's id"],
    [
      "a sequence of 2^53",
      [{ ...good, clientId: Buffer.from("x"), sequence: 2n ** 53n }],
      "a number is above 2^53 - 1",
    ],
    [
      "a client id of 65 bytes",
      [{ ...good, clientId: Buffer.alloc(65, "x"), sequence: 1n }],
      "the client id of entry 5",
    ],
    [
      "a client id not in UTF-8",
      [{ ...good, clientId: Buffer.of(0xc3, 0x28), sequence: 1n }],
      "the client id of entry 5",
    ],
    ["a term of 2^64 - 1", [{ ...good, term: 2n ** 64n - 1n }], "a number is above 2^53 - 1"],
  ])("refuses %s", (_title, entries, message) => {
    expect(() => decodeFrames(concat(entries.map(entryOf)))).toThrow(message);
    expect(() => decodeFrames(concat(entries.map(entryOf)))).toThrow(FrameError);
  });

  it("refuses records that are no entries and fields of a wrong wire type", () => {
    const otherField = new BinaryWriter().tag(4, WireType.LengthDelimited).bytes(new Uint8Array(2)).finish();
    expect(() => decodeFrames(otherField)).toThrow(FrameError);
    const wrongType = record((writer) => writer.tag(1, WireType.LengthDelimited).bytes(new Uint8Array(1)));
    expect(() => decodeFrames(wrongType)).toThrow("field 1 of an entry has a wrong wire type");
    const group = record((writer) => writer.tag(9, WireType.StartGroup));
    expect(() => decodeFrames(group)).toThrow(FrameError);
  });

  it("refuses what the generated code refuses: a field with the number 0", () => {
    const bytes = record((writer) => {
      writer.tag(1, WireType.Varint).uint64(1n).tag(2, WireType.Varint).uint64(1n).tag(3, WireType.Varint).int32(1);
      writer.raw(Uint8Array.of(0, 0));
    });
    expect(() => fromBinary(AppendEntriesRequestSchema, bytes)).toThrow();
    expect(() => decodeFrames(bytes)).toThrow(FrameError);
  });

  it("takes as valid only what the generated code reads the same way", () => {
    fc.assert(
      fc.property(anyFrames, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), (frames, changes) => {
        const bytes = concat(frames.map((frame) => frame.bytes));
        for (const [at, value] of changes) bytes[at % Math.min(bytes.length, 40)] = value;
        let entries: ReturnType<typeof decodeEntries>;
        try {
          entries = decodeEntries(bytes);
        } catch {
          return;
        }
        const expected = fromBinary(AppendEntriesRequestSchema, bytes).entries;
        expect(entries.map(({ index, term, type, sequence }) => [index, term, type, sequence])).toEqual(
          expected.map(({ index, term, type, sequence }) => [Number(index), Number(term), type, Number(sequence)]),
        );
        for (const [i, { command, clientId }] of entries.entries()) {
          expect(Buffer.from(clientId).toString()).toBe(expected[i]?.clientId);
          expect(Buffer.compare(command, expected[i]?.command ?? Buffer.of(1))).toBe(0);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
