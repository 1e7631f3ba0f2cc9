import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AppendEntriesResponseSchema } from "../../gen/raft/v1/raft_pb.js";
import { type AppendAnswer, appendResponseCodec, introductionAnswer } from "../../src/grpc/append-codec.ts";

const numbers = fc.oneof(fc.nat(300), fc.maxSafeNat());

const answers: fc.Arbitrary<AppendAnswer> = fc.record({
  term: numbers,
  success: fc.boolean(),
  matchIndex: numbers,
  conflictIndex: numbers,
  conflictTerm: numbers,
  sequence: numbers,
  snapshotIndex: numbers,
  snapshotTerm: numbers,
});

function generated(answer: AppendAnswer): Uint8Array {
  const { term, success, matchIndex, conflictIndex, conflictTerm, sequence, snapshotIndex, snapshotTerm } = answer;
  const message = create(AppendEntriesResponseSchema, {
    term: BigInt(term),
    success,
    matchIndex: BigInt(matchIndex),
    conflictIndex: BigInt(conflictIndex),
    conflictTerm: BigInt(conflictTerm),
    sequence: BigInt(sequence),
    snapshotIndex: BigInt(snapshotIndex),
    snapshotTerm: BigInt(snapshotTerm),
  });
  return toBinary(AppendEntriesResponseSchema, message);
}

const plain = (value: object): unknown =>
  JSON.parse(JSON.stringify(value, (_name, each: unknown) => (typeof each === "bigint" ? each.toString() : each)));

describe("an AppendEntriesResponse", () => {
  it("is written byte for byte as the generated code writes it, and read back", () => {
    fc.assert(
      fc.property(answers, (answer) => {
        const bytes = appendResponseCodec.serialize(answer as never);
        expect(Uint8Array.from(bytes)).toEqual(generated(answer));
        const read = appendResponseCodec.deserialize(bytes) as AppendAnswer;
        for (const [name, value] of Object.entries(answer)) {
          expect(String(read[name as keyof AppendAnswer])).toBe(String(value));
        }
      }),
    );
  });

  it("is read from any bytes as the generated code reads them, or refused with it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
        let expected: object | undefined;
        try {
          expected = fromBinary(AppendEntriesResponseSchema, bytes);
        } catch {
          expect(() => appendResponseCodec.deserialize(Buffer.from(bytes))).toThrow();
          return;
        }
        const read = appendResponseCodec.deserialize(Buffer.from(bytes)) as AppendAnswer;
        const { term, success, matchIndex, conflictIndex, conflictTerm, sequence, snapshotIndex, snapshotTerm } = read;
        const places = { matchIndex, conflictIndex, conflictTerm, snapshotIndex, snapshotTerm };
        const fields = { term, success, sequence, ...places };
        expect(expected).toMatchObject(
          Object.fromEntries(
            Object.entries(fields).map(([name, value]) => [name, typeof value === "number" ? BigInt(value) : value]),
          ),
        );
      }),
      { numRuns: 3_000 },
    );
  });

  it("carries a handshake in a stream's first message", () => {
    const handshake = create(AppendEntriesResponseSchema, { handshake: { clusterId: "c", senderId: "n1" } }).handshake;
    if (handshake === undefined) throw new Error("it was set");
    const bytes = appendResponseCodec.serialize(introductionAnswer(handshake) as never);
    const read = appendResponseCodec.deserialize(bytes) as AppendAnswer;
    expect(plain(read.handshake ?? {})).toMatchObject({ clusterId: "c", senderId: "n1" });
  });
});
