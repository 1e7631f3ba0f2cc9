import type { ClientHttp2Session } from "node:http2";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClusterService, ReadLogRequestSchema } from "../../gen/raft/v1/cluster_pb.js";
import { LogService, ProposeRequestSchema } from "../../gen/raft/v1/log_pb.js";
import { call, eventually, makeFolder, removeFolder, startNode, type TestNode } from "../grpc/support.ts";
import { delimited } from "./messages.ts";
import { CLIENT_HELLO } from "./raw.ts";
import { type CallEnd, framed, openSession, RawCall, RawSocket } from "./raw-call.ts";

/** One node, and clients that don't keep to the rules. */
const PROPOSE = "/raft.v1.LogService/Propose";
const GET_STATE = "/raft.v1.LogService/GetState";
const REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

let folder: string;
let sidecar: TestNode;
let session: ClientHttp2Session;

beforeAll(async () => {
  folder = await makeFolder();
  sidecar = await startNode({ dataDir: folder });
  await eventually(() => sidecar.node.status().notReadyReason === "", "ready");
  session = openSession(clientAddress());
});

afterAll(async () => {
  session.destroy();
  await sidecar.stop();
  await removeFolder(folder);
  expect(sidecar.fatal).toEqual([]);
  expect(sidecar.log.lines.filter(({ level }) => level === "error")).toEqual([]);
});

function clientAddress(): string {
  return sidecar.listener.addresses[0] ?? "";
}

function send(path: string, message?: Uint8Array, headers?: Record<string, string>): Promise<CallEnd> {
  return new RawCall(session, path, headers).finish(message);
}

function command(text: string): Uint8Array {
  return toBinary(ProposeRequestSchema, create(ProposeRequestSchema, { command: Buffer.from(text) }));
}

async function isServed(): Promise<void> {
  await call(sidecar.client, LogService.method.getState, {});
}

describe("a connection that is no HTTP/2", () => {
  it.each([
    ["an HTTP/1 request", Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n")],
    ["a TLS hello", CLIENT_HELLO],
    ["noise", Buffer.alloc(500, 0xee)],
  ])("is closed after %s, on either gRPC port, and harms nobody", async (_what, bytes) => {
    for (const address of [clientAddress(), sidecar.peerAddress]) {
      const socket = new RawSocket(address);
      socket.socket.write(bytes);
      await socket.closed;
    }
    await isServed();
  });
});

describe("a call", () => {
  it.each(["5", "S", "-1S", "123456789S", "1s", "1.5S"])("with the timeout %s is refused", async (timeout) => {
    const end = await send(PROPOSE, command("never"), { "grpc-timeout": timeout });
    expect(end).toMatchObject({ code: status.INVALID_ARGUMENT, failure: { reason: "INVALID_ARGUMENT" } });
  });

  it.each(["99999999H", "2147484S", "99999999M"])("may wait for longer than a timer can, %s", async (timeout) => {
    expect(await send(GET_STATE, undefined, { "grpc-timeout": timeout })).toMatchObject({ code: status.OK });
  });

  it("whose messages are compressed is refused before anything is unpacked, and says why", async () => {
    const bomb = new RawCall(session, PROPOSE, { "grpc-encoding": "gzip" });
    bomb.stream.end(framed(gzipSync(Buffer.alloc(8 * 1024 * 1024)), 1));
    expect(await bomb.ended).toMatchObject({
      code: status.INVALID_ARGUMENT,
      failure: { violations: [{ field: "grpc-encoding" }] },
    });
  });

  it("with no message, or with two, where there is to be one, is refused", async () => {
    const none = new RawCall(session, PROPOSE);
    none.stream.end();
    const two = new RawCall(session, PROPOSE);
    two.stream.end(Buffer.concat([framed(command("a")), framed(command("b"))]));
    expect(await none.ended).toMatchObject({ code: status.UNIMPLEMENTED });
    expect(await two.ended).toMatchObject({ code: status.UNIMPLEMENTED });
  });

  it("whose message claims 4 GiB is refused at once, and none of it is kept", async () => {
    const huge = new RawCall(session, PROPOSE);
    huge.stream.write(framed(Buffer.alloc(10), 0, 2 ** 32 - 1));
    expect(await huge.ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  });

  it("may have a message of thousands of unknown fields, and one nested without end is refused or read, no more", async () => {
    const unknown = new BinaryWriter();
    for (let i = 0; i < 50_000; i++) unknown.tag(1_000 + i, WireType.Varint).uint64(1n);
    expect(await send(GET_STATE, unknown.finish())).toMatchObject({ code: status.OK });
    let nested: Uint8Array<ArrayBuffer> = new Uint8Array(0);
    for (let depth = 0; depth < 2_000; depth++) nested = delimited(5, nested);
    for (const path of [PROPOSE, REFLECTION, GET_STATE]) {
      expect([status.OK, status.INVALID_ARGUMENT]).toContain((await send(path, nested)).code);
    }
    const groups = Buffer.alloc(100_000, 0x2b);
    for (const path of [PROPOSE, REFLECTION, GET_STATE]) {
      expect([status.OK, status.INVALID_ARGUMENT]).toContain((await send(path, groups)).code);
    }
  });

  it("with more metadata than anybody needs ends, and so does no other call", async () => {
    const pairs = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`x-${i}`, "v"]));
    const long = { "x-long": "y".repeat(60_000), "x-longer": "z".repeat(60_000) };
    for (const headers of [pairs, long]) {
      const other = openSession(clientAddress());
      const end = await new RawCall(other, GET_STATE, headers).finish();
      expect(end.code).not.toBe(status.OK);
      other.destroy();
    }
    await isServed();
  });

  it.each([
    ["start_index", { startIndex: 2n ** 64n - 1n }],
    ["end_index", { startIndex: 1n, endIndex: 2n ** 53n }],
  ])("of ReadLog with a %s out of range is refused", async (field, request) => {
    const message = toBinary(ReadLogRequestSchema, create(ReadLogRequestSchema, request));
    const end = await send(`/${ClusterService.typeName}/ReadLog`, message);
    expect(end).toMatchObject({ code: status.INVALID_ARGUMENT, failure: { violations: [{ field }] } });
  });
});

describe("the services of libraries", () => {
  it.each(["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", REFLECTION])(
    "refuse bytes that are no message, %s",
    async (path) => {
      const end = await send(path, Uint8Array.of(0xff, 0xff));
      expect(end).toMatchObject({ code: status.INVALID_ARGUMENT, failure: { reason: "INVALID_ARGUMENT" } });
    },
  );

  it("repeat no name of a megabyte, and no half of a surrogate pair", async () => {
    for (const name of [
      Buffer.alloc(1024 * 1024, 0x61),
      Buffer.from("a\u{d800}", "utf16le"),
      Buffer.of(0xed, 0xa0, 0x80),
    ]) {
      const end = await send("/grpc.health.v1.Health/Check", delimited(1, name));
      expect(end.code).toBe(status.NOT_FOUND);
      expect(end.details.length).toBeLessThan(200);
    }
  });

  it("remember nothing of what was watched", async () => {
    const before = await heapBytes();
    for (let i = 0; i < 60; i++) {
      const watch = new RawCall(session, "/grpc.health.v1.Health/Watch");
      watch.stream.end(framed(delimited(1, Buffer.alloc(512 * 1024, `${i} `))));
      watch.stream.resume();
      await eventually(() => watch.isServed, "watching");
      watch.cancel();
      await watch.ended;
    }
    expect((await heapBytes()) - before).toBeLessThan(10 * 1024 * 1024);
  });

  it("read no further for a client that doesn't read, however small its questions are", async () => {
    const other = openSession(clientAddress());
    const asking = new RawCall(other, REFLECTION);
    const question = framed(delimited(4, Buffer.from("raft.v1.LogService")));
    let taken = 0;
    const before = await heapBytes();
    for (let i = 0; i < 20_000; i++) asking.stream.write(question, () => taken++);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    // 20,000 answers would have half a gigabyte. What the client itself still has to send is here, too.
    expect((await heapBytes()) - before).toBeLessThan(40 * 1024 * 1024);
    expect(taken).toBeLessThan(15_000);
    other.destroy();
    await isServed();
  });
});

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");

async function heapBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    collect();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
