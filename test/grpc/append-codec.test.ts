import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReadLogResponseSchema } from "../../gen/raft/v1/cluster_pb.js";
import { ApplyStreamResponseSchema } from "../../gen/raft/v1/log_pb.js";
import { AppendEntriesRequestSchema } from "../../gen/raft/v1/raft_pb.js";
import { encodeFrame } from "../../src/frame/codec.ts";
import {
  appendRequestCodec,
  decodeAppendRequest,
  encodeApplyBatch,
  encodeReadLogResponse,
} from "../../src/grpc/append-codec.ts";
import { EntryType, type Frame, MAX_INDEX } from "../../src/raft/types.ts";

/** A run of frames as a log holds them, and the same as generated messages. */
const logs = fc
  .record({
    first: fc.integer({ min: 1, max: MAX_INDEX - 1_000 }),
    runs: fc.array(
      fc.record({
        termStep: fc.integer({ min: 0, max: 300 }),
        commands: fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 5 }),
      }),
      { maxLength: 5 },
    ),
  })
  .map(({ first, runs }) => {
    const frames: Frame[] = [];
    let index = first;
    let term = 1;
    for (const { termStep, commands } of runs) {
      term += termStep;
      // A run without commands stands for a no-op.
      const type = commands.length === 0 ? EntryType.noOp : EntryType.command;
      const frame = encodeFrame({ index, term }, type, commands.length === 0 ? [new Uint8Array(0)] : commands);
      frames.push(frame);
      index = frame.last + 1;
    }
    return { first, frames };
  });

const fields = fc.record({
  term: fc.bigInt({ min: 0n, max: 2n ** 52n }),
  leaderId: fc.string({ maxLength: 10 }),
  prevLogIndex: fc.bigInt({ min: 0n, max: 2n ** 52n }),
  leaderCommit: fc.bigInt({ min: 0n, max: 2n ** 52n }),
  sequence: fc.bigInt({ min: 0n, max: 2n ** 52n }),
});

const concat = (parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

/** The same with every number as a bigint, as the generated code has them. */
function bigints<T extends object>(fields: T): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === "number" ? BigInt(value) : value]),
  );
}

describe("messages with entries spliced in", () => {
  it("AppendEntriesRequest is what the generated code reads and writes, and keeps every byte of the entries", () => {
    fc.assert(
      fc.property(logs, fields, ({ frames }, values) => {
        const bytes = appendRequestCodec.serialize({
          fields: create(AppendEntriesRequestSchema, values),
          frames,
        } as never);
        const generated = fromBinary(AppendEntriesRequestSchema, bytes);
        expect(generated).toMatchObject(values);
        // What any other implementation writes of it, entries first or last, is read as the same frames.
        const written = toBinary(AppendEntriesRequestSchema, generated);
        for (const wire of [bytes, written]) {
          const decoded = decodeAppendRequest(wire);
          expect(create(AppendEntriesRequestSchema, bigints(decoded.fields))).toEqual(
            create(AppendEntriesRequestSchema, values),
          );
          expect(concat(decoded.frames.map((frame) => frame.bytes))).toEqual(concat(frames.map((f) => f.bytes)));
        }
        expect(written.length).toBe(bytes.length);
      }),
    );
  });

  it("reads entries that stand scattered between the other fields, also unknown ones", () => {
    const frame = encodeFrame({ index: 5, term: 2 }, EntryType.command, [Buffer.from("a"), Buffer.from("b")]);
    const cut = frame.ends[0] ?? 0;
    const part = (values: object) => toBinary(AppendEntriesRequestSchema, create(AppendEntriesRequestSchema, values));
    const unknown = Buffer.from([0xfa, 0x01, 0x02, 0x08, 0x01]);
    const bytes = Buffer.concat([
      frame.bytes.subarray(0, cut),
      part({ sequence: 9n }),
      unknown,
      frame.bytes.subarray(cut),
      part({ term: 2n, leaderId: "n1" }),
    ]);
    const decoded = decodeAppendRequest(bytes);
    expect(decoded.fields).toMatchObject({ sequence: 9n, term: 2n, leaderId: "n1", entries: [] });
    expect(decoded.frames).toHaveLength(1);
    expect(decoded.frames[0]).toMatchObject({ first: 5, last: 6, term: 2 });
    expect(decoded.frames[0]?.bytes).toEqual(frame.bytes);
  });

  it("keeps nothing of the buffer that the entries came in", () => {
    const frame = encodeFrame({ index: 1, term: 1 }, EntryType.command, [Buffer.from("abc")]);
    const bytes = appendRequestCodec.serialize({
      fields: create(AppendEntriesRequestSchema, { term: 1n }),
      frames: [frame],
    } as never);
    const decoded = decodeAppendRequest(bytes);
    bytes.fill(0);
    expect(decoded.frames[0]?.bytes).toEqual(frame.bytes);
    expect(decoded.frames[0]?.bytes.buffer.byteLength).toBe(frame.bytes.length);
  });

  it.each([
    ["a gap between indexes", [entry(1, 1), entry(3, 1)]],
    ["a falling term", [entry(1, 2), entry(2, 1)]],
    ["index 0", [entry(0, 1)]],
    ["a term above the largest", [entry(1, 2 ** 53 - 1)]],
    ["an unknown entry type", [entry(1, 1, 9)]],
  ])("refuses %s", (_what, entries) => {
    const message = create(AppendEntriesRequestSchema, { term: 1n, entries });
    expect(() => decodeAppendRequest(toBinary(AppendEntriesRequestSchema, message))).toThrow();
  });

  it("refuses what is cut off or not protobuf, and never anything but by throwing", () => {
    const frame = encodeFrame({ index: 1, term: 1 }, EntryType.command, [Buffer.from("abc")]);
    expect(() => decodeAppendRequest(frame.bytes.subarray(0, frame.bytes.length - 1))).toThrow("cut off");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeAppendRequest(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
    );
  });

  it("ApplyStream's batch is byte for byte what the generated code writes", () => {
    fc.assert(
      fc.property(logs, ({ first, frames }) => {
        const last = frames.at(-1)?.last ?? first;
        const bytes = encodeApplyBatch(first - 1, last, frames);
        const message = fromBinary(ApplyStreamResponseSchema, bytes);
        expect(message.frame.case).toBe("batch");
        expect(message.frame.value).toMatchObject({ prevIndex: BigInt(first - 1), lastIndex: BigInt(last) });
        expect(Buffer.compare(toBinary(ApplyStreamResponseSchema, message), bytes)).toBe(0);
      }),
    );
  });

  it("ReadLog's answer is byte for byte what the generated code writes", () => {
    fc.assert(
      fc.property(logs, fc.nat(), ({ frames }, commit) => {
        const bytes = encodeReadLogResponse(commit, frames);
        const message = fromBinary(ReadLogResponseSchema, bytes);
        expect(message.commitIndex).toBe(BigInt(commit));
        expect(Buffer.compare(toBinary(ReadLogResponseSchema, message), bytes)).toBe(0);
      }),
    );
  });
});

function entry(index: number, term: number, type = 1) {
  return { index: BigInt(index), term: BigInt(term), type, command: Buffer.from("x") };
}
