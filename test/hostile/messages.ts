import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";

/**
 * Protobuf messages as a stranger may send them, from the descriptors: right in their shape with values at the edges, and
 * wrong in every way that bytes can be. They are written field by field, because the generated code can't write what is
 * wrong.
 */

type Bytes = Uint8Array<ArrayBuffer>;
type Scalars = { readonly numbers: fc.Arbitrary<bigint>; readonly texts: fc.Arbitrary<Uint8Array> };

const NOTHING: Bytes = new Uint8Array(0);
const MAX_DEPTH = 4;

const EDGES = [
  0n,
  1n,
  2n,
  127n,
  128n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n,
  2n ** 52n,
  2n ** 52n + 1n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
] as const;

/** Edges of what a uint64 and a double hold, and small numbers, which are indexes that exist. */
const anyNumber: fc.Arbitrary<bigint> = fc.oneof(fc.constantFrom(...EDGES), fc.bigInt(0n, 3_000n));

const KNOWN_TEXTS = [
  "",
  "n1",
  "n2",
  "n3",
  "test",
  "raft.v1.LogService",
  "grpc.health.v1.Health",
  "google/rpc/status.proto",
];
/** What goes wrong in programs that keep things by name in an object. */
const ODD_TEXTS = [
  "__proto__",
  "constructor",
  "toString",
  "\0",
  "\u2028",
  "😀",
  "../../etc/passwd",
  ".",
  "*",
  "a".repeat(300),
];

const invalidUtf8: fc.Arbitrary<Uint8Array> = fc.constantFrom(
  Uint8Array.of(0xff),
  Uint8Array.of(0xc0, 0x80),
  // Half of a surrogate pair.
  Uint8Array.of(0x61, 0xed, 0xa0, 0x80),
  Uint8Array.of(0xf4, 0x90, 0x80, 0x80),
  Uint8Array.of(0xe2, 0x82),
);

const anyText: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 600, arbitrary: fc.constantFrom(...KNOWN_TEXTS, ...ODD_TEXTS).map(utf8) },
  { weight: 200, arbitrary: fc.string({ maxLength: 20 }).map(utf8) },
  { weight: 200, arbitrary: invalidUtf8 },
  { weight: 1, arbitrary: fc.integer({ min: 10_000, max: 200_000 }).map((size) => new Uint8Array(size).fill(0x61)) },
);

const anyBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 8_000, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 40 }) },
  {
    weight: 2_000,
    arbitrary: fc.constantFrom(0, 15, 16, 17, 31, 32, 64, 65, 1_000).map((size) => new Uint8Array(size).fill(7)),
  },
  // At the limit of a command, above it, and above that of a message.
  {
    weight: 2,
    arbitrary: fc.constantFrom(2 ** 20, 2 ** 20 + 1, 2 ** 21 + 1).map((size) => new Uint8Array(size).fill(1)),
  },
);

/** Messages of `desc` in their right shape, with values at the edges, and now and then with a field that isn't. */
export function shaped(desc: DescMessage, numbers = anyNumber): fc.Arbitrary<Bytes> {
  return messageOf(desc, { numbers, texts: anyText }, 0);
}

/** Bytes that come of a message that was damaged on its way. */
export function damaged(whole: fc.Arbitrary<Bytes>): fc.Arbitrary<Bytes> {
  const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
  const damage = fc.oneof(
    fc.tuple(place, fc.nat(7)).map(
      ([at, bit]) =>
        (bytes: Bytes) =>
          flipped(bytes, at, bit),
    ),
    place.map((at) => (bytes: Bytes) => bytes.slice(0, Math.floor(at * bytes.length))),
    fc.tuple(place, fc.uint8Array({ maxLength: 12 })).map(([at, more]) => (bytes: Bytes) => {
      const cut = Math.floor(at * bytes.length);
      return joined([bytes.subarray(0, cut), more, bytes.subarray(cut)]);
    }),
    fc.constant((bytes: Bytes) => joined([bytes, bytes])),
  );
  return fc
    .tuple(whole, fc.array(damage, { minLength: 1, maxLength: 4 }))
    .map(([bytes, damages]) => damages.reduce((result, one) => one(result), bytes));
}

/** Bytes that never were a message. */
export const noise: fc.Arbitrary<Bytes> = fc.uint8Array({ maxLength: 200 }).map((bytes) => joined([bytes]));

export function joined(parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A field with a length: a string, bytes or a message. */
export function delimited(field: number, content: Uint8Array): Bytes {
  return joined([new BinaryWriter().tag(field, WireType.LengthDelimited).bytes(content).finish()]);
}

function messageOf(desc: DescMessage, scalars: Scalars, depth: number): fc.Arbitrary<Bytes> {
  // A oneof gets none, one or several of its fields: the last one counts.
  const fields = desc.fields.map((field) => fc.option(fieldOf(field, scalars, depth), { freq: 4, nil: NOTHING }));
  return fc.tuple(...fields, oddFields(desc)).map(joined);
}

function fieldOf(field: DescField, scalars: Scalars, depth: number): fc.Arbitrary<Bytes> {
  switch (field.fieldKind) {
    case "scalar":
      return scalarOf(field.scalar, field.number, scalars);
    case "enum":
      return scalarOf(ScalarType.UINT64, field.number, scalars);
    case "message":
      return nested(field.message, field.number, scalars, depth);
    case "list": {
      const one =
        field.listKind === "message"
          ? nested(field.message, field.number, scalars, depth)
          : scalarOf(field.listKind === "enum" ? ScalarType.UINT64 : field.scalar, field.number, scalars);
      const few = fc.array(one, { maxLength: 5 });
      const many = fc
        .tuple(one, fc.integer({ min: 100, max: 5_000 }))
        .map(([bytes, times]) => Array(times).fill(bytes));
      return fc.oneof({ weight: 1_000, arbitrary: few }, { weight: 1, arbitrary: many }).map(joined);
    }
    case "map":
      return fc.uint8Array({ maxLength: 20 }).map((bytes) => delimited(field.number, bytes));
    default:
      return fc.constant(NOTHING);
  }
}

function nested(desc: DescMessage, number: number, scalars: Scalars, depth: number): fc.Arbitrary<Bytes> {
  if (depth >= MAX_DEPTH) return fc.constant(NOTHING);
  return messageOf(desc, scalars, depth + 1).map((bytes) => delimited(number, bytes));
}

function scalarOf(type: ScalarType, number: number, { numbers, texts }: Scalars): fc.Arbitrary<Bytes> {
  switch (type) {
    case ScalarType.STRING:
      return texts.map((bytes) => delimited(number, bytes));
    case ScalarType.BYTES:
      return anyBytes.map((bytes) => delimited(number, bytes));
    default:
      return numbers.map((value) => varint(number, value));
  }
}

/** Fields that nobody knows, known ones in another type, nesting without end, groups: seldom, so that most get further. */
function oddFields(desc: DescMessage): fc.Arbitrary<Bytes> {
  const numbers = [...desc.fields.map((field) => field.number), 15, 1_000, 2 ** 29 - 1];
  const number = fc.constantFrom(...numbers);
  const odd = fc.oneof(
    fc.tuple(number, anyNumber).map(([field, value]) => varint(field, value)),
    fc.tuple(number, anyBytes).map(([field, bytes]) => delimited(field, bytes)),
    number.map((field) => joined([new BinaryWriter().tag(field, WireType.Bit64).fixed64(1n).finish()])),
    number.map((field) => joined([new BinaryWriter().tag(field, WireType.StartGroup).finish()])),
    number.map((field) => joined([new BinaryWriter().tag(field, WireType.EndGroup).finish()])),
    // Field number 0, and a varint that never ends.
    fc
      .constantFrom(Uint8Array.of(0, 1), new Uint8Array(12).fill(0xff), Uint8Array.of(7))
      .map((bytes) => joined([bytes])),
    fc.tuple(number, fc.integer({ min: 10, max: 2_000 })).map(([field, depth]) => nestedDeeply(field, depth)),
    fc.integer({ min: 100, max: 3_000 }).map((times) => joined(Array(times).fill(varint(1_000, 5n)))),
  );
  return fc.oneof({ weight: 12, arbitrary: fc.constant(NOTHING) }, { weight: 1, arbitrary: odd });
}

function nestedDeeply(field: number, depth: number): Bytes {
  let bytes = NOTHING;
  for (let i = 0; i < depth && bytes.length < 20_000; i++) bytes = delimited(field, bytes);
  return bytes;
}

function varint(field: number, value: bigint): Bytes {
  return joined([new BinaryWriter().tag(field, WireType.Varint).uint64(value).finish()]);
}

function flipped(bytes: Bytes, at: number, bit: number): Bytes {
  const out = bytes.slice();
  const index = Math.floor(at * out.length);
  const byte = out[index];
  if (byte !== undefined) out[index] = byte ^ (1 << bit);
  return out;
}

function utf8(text: string): Uint8Array {
  return Buffer.from(text);
}
