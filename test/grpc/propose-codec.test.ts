import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ProposeRequestSchema,
  ProposeResponseSchema,
  ProposeStreamRequestSchema,
  ProposeStreamResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import { Failure } from "../../src/failure.ts";
import {
  decodeItemProposals,
  decodeProposal,
  encodeCommitted,
  encodeItemResults,
  type ItemProposal,
  type ItemProposals,
  type Proposal,
} from "../../src/grpc/propose-codec.ts";
import { toProposeError } from "../../src/grpc/propose-error.ts";

/** What is common, what is at a length's edge, and what no number holds. */
const uint64 = fc.oneof(
  fc.constantFrom(0n, 1n, 127n, 128n, 2n ** 49n - 1n, 2n ** 49n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);

const proposals = fc.record({
  command: fc.uint8Array({ maxLength: 300 }),
  clientId: fc.oneof(fc.constantFrom("", "client-7", "größer", "\ufeffbom"), fc.string({ maxLength: 20 })),
  sequence: uint64,
  expectedTerm: uint64,
});

const items = fc.record({
  items: fc.array(
    fc.tuple(uint64, proposals).map(([requestId, rest]) => ({ requestId, ...rest })),
    { maxLength: 6 },
  ),
  stopOnError: fc.boolean(),
});

interface Generated {
  readonly command: Uint8Array;
  readonly clientId: string;
  readonly sequence: bigint;
  readonly expectedTerm: bigint;
}

/** Whether both say the same, and numbers are numbers wherever they hold the value. */
function expectSame(read: Proposal, expected: Generated): void {
  expect(Uint8Array.from(read.command)).toEqual(Uint8Array.from(expected.command));
  expect(read.clientId).toBe(expected.clientId);
  expectSameNumber(read.sequence, expected.sequence);
  expectSameNumber(read.expectedTerm, expected.expectedTerm);
}

function expectSameNumber(read: number | bigint, expected: bigint): void {
  expect(read).toBe(expected <= Number.MAX_SAFE_INTEGER ? Number(expected) : expected);
}

function expectSameItems(read: ItemProposals, expected: ReturnType<typeof decodeGenerated>): void {
  expect(read.stopOnError).toBe(expected.stopOnError);
  expect(read.items.length).toBe(expected.items.length);
  for (const [i, item] of expected.items.entries()) {
    const own = read.items[i] as ItemProposal;
    expectSame(own, item);
    expectSameNumber(own.requestId, item.requestId);
  }
}

function decodeGenerated(bytes: Uint8Array) {
  return fromBinary(ProposeStreamRequestSchema, bytes);
}

/** What `decode` makes of the bytes has to be what the generated code makes of them, a refusal included. */
function compare<G, O>(
  bytes: Uint8Array,
  generated: (bytes: Uint8Array) => G,
  decode: (bytes: Uint8Array) => O,
  same: (own: O, expected: G) => void,
): void {
  let expected: G;
  try {
    expected = generated(bytes);
  } catch {
    expect(() => decode(bytes)).toThrow();
    return;
  }
  same(decode(bytes), expected);
}

/** Bytes that are nearly a message: with some removed, altered, repeated or added. */
function damaged(messages: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(
      messages,
      fc.array(fc.tuple(fc.nat(400), fc.nat(3), fc.uint8Array({ minLength: 1, maxLength: 12 })), { maxLength: 3 }),
    )
    .map(([bytes, changes]) => {
      let result = Buffer.from(bytes);
      for (const [at, kind, extra] of changes) {
        const place = at % (result.length + 1);
        const [before, after] = [result.subarray(0, place), result.subarray(place)];
        if (kind === 0) result = Buffer.concat([before, extra, after]);
        else if (kind === 1) result = Buffer.concat([before, after.subarray(1)]);
        else if (kind === 2) result = Buffer.concat([before, extra, after.subarray(extra.length)]);
        else result = Buffer.concat([result, result.subarray(0, place)]);
      }
      return Uint8Array.from(result);
    });
}

const requests = proposals.map((each) => toBinary(ProposeRequestSchema, create(ProposeRequestSchema, each)));
const streamRequests = items.map((each) =>
  toBinary(ProposeStreamRequestSchema, create(ProposeStreamRequestSchema, each)),
);

describe("a proposal on the wire", () => {
  it("is read as the generated code reads it", () => {
    fc.assert(
      fc.property(requests, (bytes) =>
        compare(bytes, (each) => fromBinary(ProposeRequestSchema, each), decodeProposal, expectSame),
      ),
      { numRuns: 1_000 },
    );
  });

  it("is read or refused as by the generated code, however it is damaged", () => {
    fc.assert(
      fc.property(damaged(requests), (bytes) =>
        compare(bytes, (each) => fromBinary(ProposeRequestSchema, each), decodeProposal, expectSame),
      ),
      { numRuns: 3_000 },
    );
  });

  it("is read at any offset of its memory", () => {
    const bytes = toBinary(ProposeRequestSchema, create(ProposeRequestSchema, { command: Buffer.from("set x 1") }));
    const slab = Buffer.concat([Buffer.alloc(13, 1), bytes, Buffer.alloc(7, 1)]);
    const { command } = decodeProposal(slab.subarray(13, 13 + bytes.length));
    expect(Buffer.from(command).toString()).toBe("set x 1");
  });
});

describe("a message of a ProposeStream", () => {
  it("with millions of items is refused after as many as there may be", () => {
    const bytes = Buffer.alloc(8 * 1024 * 1024, Buffer.of(0x0a, 0));
    expect(() => decodeItemProposals(bytes)).toThrow("items: must be 1 to 4096 a message");
  });

  it("is read as the generated code reads it", () => {
    fc.assert(
      fc.property(streamRequests, (bytes) => compare(bytes, decodeGenerated, decodeItemProposals, expectSameItems)),
      { numRuns: 1_000 },
    );
  });

  it("is read or refused as by the generated code, however it is damaged", () => {
    fc.assert(
      fc.property(damaged(streamRequests), (bytes) =>
        compare(bytes, decodeGenerated, decodeItemProposals, expectSameItems),
      ),
      { numRuns: 3_000 },
    );
  });
});

const places = fc.record({ index: fc.maxSafeNat(), term: fc.maxSafeNat(), duplicate: fc.boolean() });

const failures = fc
  .record({ message: fc.string(), retryAfterMs: fc.option(fc.nat(10_000), { nil: undefined }) })
  .map(({ message, retryAfterMs }) => {
    const retry = retryAfterMs === undefined ? {} : { retryAfterMs };
    return new Failure("OVERLOADED", message, { metadata: { limit: "1" }, ...retry });
  });

describe("the answers", () => {
  it("to a Propose are byte for byte those of the generated code", () => {
    fc.assert(
      fc.property(places, ({ index, term, duplicate }) => {
        const message = create(ProposeResponseSchema, { index: BigInt(index), term: BigInt(term), duplicate });
        expect(Uint8Array.from(encodeCommitted({ index, term, duplicate }))).toEqual(
          toBinary(ProposeResponseSchema, message),
        );
      }),
    );
  });

  it("to the items of a batch that failed as a whole hold one failure, encoded once", () => {
    const failure = new Failure("OVERLOADED", "too many");
    let encodings = 0;
    Object.defineProperty(failure, "message", { get: () => `too many ${++encodings}` });
    const results = Array.from({ length: 256 }, (_, requestId) => ({ requestId, outcome: failure }));
    const message = fromBinary(ProposeStreamResponseSchema, encodeItemResults(results));
    expect(encodings).toBe(1);
    expect(new Set(message.results.map(({ outcome }) => JSON.stringify(outcome.value))).size).toBe(1);
  });

  it("to the items of a ProposeStream are byte for byte those of the generated code, errors and large ids included", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(uint64, fc.oneof(places, failures)), { maxLength: 8 }), (results) => {
        const own = results.map(([requestId, outcome]) => ({
          requestId: requestId <= Number.MAX_SAFE_INTEGER ? Number(requestId) : requestId,
          outcome,
        }));
        const message = create(ProposeStreamResponseSchema, {
          results: results.map(([requestId, outcome]) => ({
            requestId,
            outcome:
              outcome instanceof Failure
                ? { case: "error" as const, value: toProposeError(outcome) }
                : {
                    case: "committed" as const,
                    value: { ...outcome, index: BigInt(outcome.index), term: BigInt(outcome.term) },
                  },
          })),
        });
        expect(Uint8Array.from(encodeItemResults(own))).toEqual(toBinary(ProposeStreamResponseSchema, message));
      }),
    );
  });
});
