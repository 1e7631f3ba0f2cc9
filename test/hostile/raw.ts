import fc from "fast-check";
import { joined } from "./messages.ts";

/** What comes on a connection that doesn't keep to HTTP/2, to HTTP/1, or to either. */
export interface Garbage {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** RFC 9113, 3.4. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Frame types and flags of RFC 9113, 6. */
const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  windowUpdate: 8,
  more: 9,
} as const;
const END_HEADERS = 4;

/** A frame, of whatever type, true to its length or not. */
function frame(type: number, flags: number, stream: number, payload: Uint8Array, length = payload.length): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A block of header fields as literals that are never indexed (RFC 7541, 6.2.3): no state, no Huffman code. */
function headerBlock(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.of(0x10), hpackText(name), hpackText(value)]));
}

/** The header fields of a call, for whoever writes frames by hand. */
function callHeaders(path: string, more: readonly (readonly [string, string])[] = []): Buffer {
  return headerBlock([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "hostile"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...more,
  ]);
}

/** The first bytes of a TLS 1.2 client that offers nothing that anybody has. */
export const CLIENT_HELLO = Buffer.from(`16030100300100002c0303${"ab".repeat(32)}000004c02fc0300100`, "hex");

const HTTP1 = Buffer.from("GET /livez HTTP/1.1\r\nhost: hostile\r\n\r\n");
const SETTINGS = frame(FRAME.settings, 0, 0, new Uint8Array(0));

const PATH = "/raft.v1.LogService/GetState";

const anyFrame = fc
  .record({
    type: fc.integer({ min: 0, max: 255 }).map((type) => (type < 200 ? type % 11 : type)),
    flags: fc.nat(255),
    stream: fc.constantFrom(0, 1, 2, 3, 2 ** 31 - 1, 2 ** 32 - 1),
    payload: fc.uint8Array({ maxLength: 40 }),
    lie: fc.oneof(
      { weight: 5, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.constantFrom(1, 20_000, 16_000_000) },
    ),
  })
  .map(({ type, flags, stream, payload, lie }) => frame(type, flags, stream, payload, payload.length + lie));

/** What breaks the rules of a gRPC listener. */
export const garbage: fc.Arbitrary<Garbage> = fc.oneof(
  named("no protocol", fc.uint8Array({ minLength: 1, maxLength: 300 })),
  named("HTTP/1", fc.constant(HTTP1)),
  named("TLS", fc.constant(CLIENT_HELLO)),
  named(
    "half a preface",
    fc.nat(PREFACE.length - 1).map((end) => PREFACE.subarray(0, end)),
  ),
  named("HTTP/2 frames at random", fc.array(anyFrame, { maxLength: 12 }).map(afterPreface)),
  named(
    "a call with frames at random",
    fc
      .array(anyFrame, { minLength: 1, maxLength: 6 })
      .map((frames) => afterPreface([called(1, END_HEADERS), ...frames])),
  ),
  named(
    "headers that are no headers",
    fc.uint8Array({ maxLength: 60 }).map((block) => afterPreface([frame(FRAME.headers, 5, 1, block)])),
  ),
  named(
    "settings",
    fc.integer({ min: 1, max: 300 }).map((times) => afterPreface(Array(times).fill(SETTINGS))),
  ),
  named(
    "pings",
    fc
      .integer({ min: 1, max: 300 })
      .map((times) => afterPreface(Array(times).fill(frame(FRAME.ping, 0, 0, new Uint8Array(8))))),
  ),
  named(
    "streams opened and reset",
    fc.integer({ min: 1, max: 200 }).map((times) => afterPreface(resets(times))),
  ),
  named(
    "headers that don't end",
    fc.integer({ min: 1, max: 40 }).map((times) => {
      const more = frame(FRAME.more, 0, 1, headerBlock([["x", "y".repeat(100)]]));
      return afterPreface([frame(FRAME.headers, 0, 1, callHeaders(PATH)), ...Array(times).fill(more)]);
    }),
  ),
);

/** What breaks the rules of the HTTP listener, or asks for what it doesn't have. */
export const httpGarbage: fc.Arbitrary<Garbage> = fc.oneof(
  named("no protocol", fc.uint8Array({ minLength: 1, maxLength: 300 })),
  named("TLS", fc.constant(CLIENT_HELLO)),
  named("HTTP/2", fc.constant(afterPreface([]))),
  named(
    "HTTP/1",
    fc
      .record({
        method: fc.constantFrom("GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "TRACE", "get", "\0"),
        path: fc.oneof(
          fc.constantFrom("/", "/livez", "/readyz", "/readyz?x", "*", "//", "http://x/livez", "/%zz"),
          fc.string(),
        ),
        version: fc.constantFrom("1.1", "1.0", "0.9", "2.0", "9"),
        header: fc.constantFrom(
          "host: x",
          "content-length: 5",
          "content-length: -1",
          "content-length: 1\r\ntransfer-encoding: chunked",
          "transfer-encoding: chunked\r\nhost: x\r\n\r\nzz",
          "upgrade: h2c\r\nconnection: upgrade",
          "expect: 100-continue\r\nhost: x",
          `x: ${"y".repeat(9_000)}`,
          "host: a\r\nhost: b",
        ),
        body: fc.constantFrom("", "hello", "GET /livez HTTP/1.1\r\n\r\n"),
      })
      .map((it) => Buffer.from(`${it.method} ${it.path} HTTP/${it.version}\r\n${it.header}\r\n\r\n${it.body}`)),
  ),
);

function named(name: string, bytes: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Garbage> {
  return bytes.map((one) => ({ name, bytes: one }));
}

/** A connection's begin as it should be, then `frames`. */
function afterPreface(frames: readonly Uint8Array[]): Uint8Array {
  return joined([PREFACE, SETTINGS, ...frames]);
}

function called(stream: number, flags: number): Buffer {
  return frame(FRAME.headers, flags, stream, callHeaders(PATH));
}

function resets(times: number): Buffer[] {
  return Array.from({ length: times }, (_, i) => i * 2 + 1).flatMap((stream) => [
    called(stream, END_HEADERS),
    frame(FRAME.reset, 0, stream, Buffer.of(0, 0, 0, 8)),
  ]);
}

function hpackText(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  return Buffer.concat([hpackLength(bytes.length), bytes]);
}

/** RFC 7541, 5.1, with a prefix of 7 bits. */
function hpackLength(length: number): Buffer {
  if (length < 127) return Buffer.of(length);
  const out = [127];
  for (let rest = length - 127; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...out, rest]);
    out.push((rest % 128) + 128);
  }
}
