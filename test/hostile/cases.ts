import fc from "fast-check";
import { damaged, joined, noise, shaped } from "./messages.ts";
import { garbage, httpGarbage } from "./raw.ts";
import { RPCS, type Rpc } from "./services.ts";

/** One thing that is done to one node. */
export type Case = { readonly node: number } & (GrpcCase | RawCase);

/** A call, written on an HTTP/2 stream of its own. */
export interface GrpcCase {
  readonly kind: "call";
  readonly rpc: Rpc;
  readonly headers: Readonly<Record<string, string>>;
  readonly messages: readonly Message[];
  readonly body: Framing;
  /** What follows the last message. */
  readonly end: "halfClose" | "reset" | "silence";
  /** Peers only: the messages come from a member that was accepted, as far as this can be played. */
  readonly accepted: boolean;
}

/** A connection that is no gRPC at all, or breaks its rules. */
export interface RawCase {
  readonly kind: "raw";
  readonly listener: "client" | "peer" | "http";
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Message {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly made: "shaped" | "damaged" | "noise" | "empty";
}

/** How messages become bytes on a stream. Everything but `right` is wrong. */
export type Framing =
  | "right"
  | "compressed"
  | "badFlag"
  | "longPrefix"
  | "shortPrefix"
  | "hugePrefix"
  | "cut"
  | "split";

/**
 * Of a member whose word counts. No number here may be a term at or just above the cluster's own: by the rules of Raft such
 * a member may take over, two leaders of one term end a node by design, and nobody claims that a lying member does no harm.
 */
const liesOfMembers = fc.constantFrom(
  0n,
  1n,
  2n ** 33n,
  2n ** 52n - 1n,
  2n ** 52n,
  2n ** 52n + 1n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
);

const rightHeaders = { "content-type": "application/grpc", te: "trailers" };

const headers: fc.Arbitrary<Readonly<Record<string, string>>> = fc.oneof(
  { weight: 60, arbitrary: fc.constant(rightHeaders) },
  {
    weight: 10,
    arbitrary: fc
      .constantFrom("1n", "0m", "20m", "5S", "99999999H", "123456789S", "-1S", "abc", "1", "")
      .map((timeout) => ({ ...rightHeaders, "grpc-timeout": timeout })),
  },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom("gzip", "deflate", "identity", "snappy", "")
      .map((encoding) => ({ ...rightHeaders, "grpc-encoding": encoding })),
  },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom(
        { "content-type": "application/json" },
        { "content-type": "application/grpc+json" },
        { ...rightHeaders, ":method": "GET" },
        { ...rightHeaders, ":path": "/raft.v1.LogService/Nothing" },
        { ...rightHeaders, ":path": "/%00/\u00e9" },
        { ...rightHeaders, ":path": "*" },
        { ...rightHeaders, "x-bin": "!!! not base64 !!!" },
        { ...rightHeaders, "grpc-status": "13", "grpc-message": "%zz", "grpc-status-details-bin": "AA" },
      )
      .map((all): Readonly<Record<string, string>> => all),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 90 }), fc.constantFrom(1, 100, 1_000))
      .map(([count, size]) => ({ ...rightHeaders, ...manyHeaders(count, size) })),
  },
);

const framings: fc.Arbitrary<Framing> = fc.oneof(
  { weight: 40, arbitrary: fc.constant<Framing>("right") },
  {
    weight: 6,
    arbitrary: fc.constantFrom<Framing>(
      "compressed",
      "badFlag",
      "longPrefix",
      "shortPrefix",
      "hugePrefix",
      "cut",
      "split",
    ),
  },
);

/** Cases against nodes 0 to `nodes` - 1. */
export function anyCase(nodes: number): fc.Arbitrary<Case> {
  const calls = RPCS.map((rpc) => ({ weight: rpc.requestStream ? 3 : 2, arbitrary: callOf(rpc, false) }));
  const members = RPCS.filter(isRaft).map((rpc) => ({ weight: 3, arbitrary: callOf(rpc, true) }));
  const listener = fc.constantFrom("client", "peer");
  const raw = [
    { weight: 2, arbitrary: fc.tuple(listener, garbage).map(([at, one]) => ({ kind: "raw", listener: at, ...one })) },
    { weight: 2, arbitrary: httpGarbage.map((one) => ({ kind: "raw", listener: "http", ...one })) },
  ];
  const what = fc.oneof(...calls, ...members, ...raw) as fc.Arbitrary<GrpcCase | RawCase>;
  return fc.tuple(fc.nat(nodes - 1), what).map(([node, one]) => ({ node, ...one }));
}

function callOf(rpc: Rpc, accepted: boolean): fc.Arbitrary<GrpcCase> {
  const whole = shaped(rpc.input, accepted ? liesOfMembers : undefined);
  const message: fc.Arbitrary<Message> = fc.oneof(
    { weight: 6, arbitrary: whole.map((bytes): Message => ({ bytes, made: "shaped" })) },
    { weight: 3, arbitrary: damaged(whole).map((bytes): Message => ({ bytes, made: "damaged" })) },
    { weight: 1, arbitrary: noise.map((bytes): Message => ({ bytes, made: "noise" })) },
    { weight: 1, arbitrary: fc.constant<Message>({ bytes: joined([]), made: "empty" }) },
  );
  const one = fc.tuple(message);
  const wrongCount = fc.array(message, { maxLength: 3 });
  const messages = rpc.requestStream
    ? fc.array(message, { minLength: 0, maxLength: 30 })
    : fc.oneof({ weight: 30, arbitrary: one }, { weight: 1, arbitrary: wrongCount });
  return fc.record({
    kind: fc.constant("call"),
    rpc: fc.constant(rpc),
    headers,
    messages,
    body: framings,
    end: fc.oneof(
      { weight: 30, arbitrary: fc.constant("halfClose") },
      { weight: 2, arbitrary: fc.constantFrom("reset", "silence") },
    ),
    accepted: fc.constant(accepted),
  });
}

function isRaft(rpc: Rpc): boolean {
  return rpc.path.startsWith("/raft.v1.RaftService/");
}

/** The bytes of a stream. */
export function bodyOf(messages: readonly Uint8Array[], framing: Framing): Uint8Array<ArrayBuffer> {
  const whole = joined(messages.flatMap((bytes) => [prefix(framing, bytes.length), bytes]));
  return framing === "cut" ? whole.slice(0, -1) : whole;
}

function prefix(framing: Framing, length: number): Uint8Array {
  const out = Buffer.alloc(5);
  out.writeUInt8(framing === "compressed" ? 1 : framing === "badFlag" ? 0xa5 : 0);
  out.writeUInt32BE(prefixedLength(framing, length), 1);
  return out;
}

function prefixedLength(framing: Framing, length: number): number {
  if (framing === "longPrefix") return length + 3;
  if (framing === "shortPrefix") return Math.max(0, length - 1);
  return framing === "hugePrefix" ? 2 ** 32 - 1 : length;
}

function manyHeaders(count: number, size: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-flood-${i}`, "f".repeat(size)]));
}
