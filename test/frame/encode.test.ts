import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReadLogResponseSchema } from "../../gen/raft/v1/cluster_pb.js";
import { ApplyBatchSchema } from "../../gen/raft/v1/log_pb.js";
import { AppendEntriesRequestSchema } from "../../gen/raft/v1/raft_pb.js";
import { InvariantError } from "../../src/assert.ts";
import { encodedSizeBound, encodeFrame } from "../../src/frame/codec.ts";
import { EntryType, MAX_INDEX, MAX_TERM } from "../../src/raft/types.ts";
import { anyId, anyPayloads, anyProposals, expectGenerated } from "./support.ts";

describe("encodeFrame", () => {
  it("writes what the generated code writes, byte for byte", () => {
    fc.assert(
      fc.property(anyId, anyPayloads, (first, payloads) => {
        expectGenerated(encodeFrame(first, EntryType.command, payloads), first, payloads);
      }),
    );
  });

  it("does so for commands with the ids of proposals", () => {
    fc.assert(
      fc.property(anyId, anyProposals, (first, { payloads, ids }) => {
        expectGenerated(encodeFrame(first, EntryType.command, payloads, ids), first, payloads, ids);
      }),
    );
  });

  it("writes no id that a decoder refuses", () => {
    const first = { index: 1, term: 1 };
    for (const id of [
      { clientId: "", sequence: 1 },
      { clientId: `${"ü".repeat(32)}x`, sequence: 1 },
      { clientId: "x", sequence: 0 },
      { clientId: "x", sequence: 2 ** 53 },
    ]) {
      expect(() => encodeFrame(first, EntryType.command, [new Uint8Array(1)], [id])).toThrow(InvariantError);
    }
  });

  it.each([EntryType.noOp, EntryType.logId])("does so for internal entries of type %i", (type) => {
    const first = { index: 2 ** 33, term: 300 };
    const payloads = [new Uint8Array(type === EntryType.logId ? 16 : 0).fill(7)];
    expectGenerated(encodeFrame(first, type, payloads), first, payloads);
  });

  it("does so when the record's own length passes a varint limit", () => {
    for (const around of [127, 16_383, 2_097_151]) {
      for (let length = around - 16; length <= around + 2; length++) {
        const first = { index: 2 ** 32 + 5, term: 3 };
        const payloads = [new Uint8Array(length)];
        expectGenerated(encodeFrame(first, EntryType.command, payloads), first, payloads);
      }
    }
  });

  it.each([AppendEntriesRequestSchema, ReadLogResponseSchema, ApplyBatchSchema])("serves $typeName", (schema) => {
    const frame = encodeFrame({ index: 9, term: 2 }, EntryType.command, [Uint8Array.of(1), Uint8Array.of(2)]);
    const { entries } = fromBinary<
      typeof AppendEntriesRequestSchema | typeof ReadLogResponseSchema | typeof ApplyBatchSchema
    >(schema, frame.bytes);
    expect(entries.map(({ index, command }) => [index, [...command]])).toEqual([
      [9n, [1]],
      [10n, [2]],
    ]);
  });

  it("says where each entry ends", () => {
    fc.assert(
      fc.property(anyId, anyPayloads, (first, payloads) => {
        const frame = encodeFrame(first, EntryType.command, payloads);
        const alone = payloads.map((payload, i) =>
          encodeFrame({ index: first.index + i, term: first.term }, EntryType.command, [payload]),
        );
        let end = 0;
        const ends = alone.map(({ bytes }) => {
          end += bytes.length;
          return end;
        });
        expect([...frame.ends]).toEqual(ends);
        expect([frame.first, frame.last, frame.term]).toEqual([
          first.index,
          first.index + payloads.length - 1,
          first.term,
        ]);
      }),
    );
  });

  it("stays within the size bound", () => {
    const longest = { clientId: "x".repeat(64), sequence: Number.MAX_SAFE_INTEGER };
    const first = { index: MAX_INDEX, term: MAX_TERM };
    const frame = encodeFrame(first, EntryType.command, [new Uint8Array(2 ** 21)], [longest]);
    expect(frame.bytes.length).toBeLessThanOrEqual(encodedSizeBound(2 ** 21));
  });

  it("refuses an empty frame and internal entries in company", () => {
    const id = { index: 1, term: 1 };
    expect(() => encodeFrame(id, EntryType.command, [])).toThrow(InvariantError);
    expect(() => encodeFrame(id, EntryType.noOp, [new Uint8Array(0), new Uint8Array(0)])).toThrow(InvariantError);
  });
});
