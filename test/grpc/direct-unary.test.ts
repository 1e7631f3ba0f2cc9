import type { ClientHttp2Session } from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ProposeRequestSchema, ProposeResponseSchema } from "../../gen/raft/v1/log_pb.js";
import { framed, openSession, RawCall } from "../hostile/raw-call.ts";
import { freePort } from "../support/ports.ts";
import { eventually, makeFolder, removeFolder, startNode, type TestNode } from "./support.ts";

/** Propose, as HTTP/2 carries it: one node that leads, and one that waits for others that never come. */
const PROPOSE = "/raft.v1.LogService/Propose";

let folders: string[];
let alone: TestNode;
let waiting: TestNode;
let session: ClientHttp2Session;

beforeAll(async () => {
  folders = [await makeFolder(), await makeFolder()];
  const peers = new Map<string, string>();
  for (const id of ["n1", "n2", "n3"]) peers.set(id, `127.0.0.1:${await freePort()}`);
  [alone, waiting] = await Promise.all([
    startNode({ dataDir: folders[0] ?? "" }),
    startNode({ dataDir: folders[1] ?? "", peers }),
  ]);
  await eventually(() => alone.node.status().notReadyReason === "", "ready");
  session = openSession(addressOf(alone));
});

afterAll(async () => {
  session.destroy();
  await Promise.all([alone.stop(), waiting.stop()]);
  for (const folder of folders) await removeFolder(folder);
  expect([...alone.fatal, ...waiting.fatal]).toEqual([]);
});

function addressOf({ listener }: TestNode): string {
  return listener.addresses[0] ?? "";
}

function request(command: Uint8Array): Uint8Array {
  return toBinary(ProposeRequestSchema, create(ProposeRequestSchema, { command }));
}

/** Until `ended` nobody reads the response: its message is collected here. */
function messageOf({ stream }: RawCall): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => stream.on("close", () => resolve(Buffer.concat(chunks))));
}

describe("a Propose on HTTP/2", () => {
  it("is answered with headers, one message and a status, as gRPC wants it", async () => {
    const before = alone.node.state().last;
    const call = new RawCall(session, PROPOSE);
    const headers = new Promise<Record<string, unknown>>((resolve) => call.stream.on("response", resolve));
    const message = messageOf(call);
    call.stream.end(framed(request(Buffer.from("set x 1"))));
    expect(await headers).toMatchObject({
      ":status": 200,
      "content-type": expect.stringMatching(/^application\/grpc/),
    });
    expect(await call.ended).toMatchObject({ code: status.OK, rstCode: 0 });
    const bytes = await message;
    expect(bytes.subarray(0, 5)).toEqual(framed(bytes.subarray(5)).subarray(0, 5));
    const { index, term, duplicate } = fromBinary(ProposeResponseSchema, bytes.subarray(5));
    expect({ index, duplicate }).toEqual({ index: BigInt(before + 1), duplicate: false });
    expect(term).toBe(BigInt(alone.node.state().term));
  });

  it("may come byte by byte, and in frames that end anywhere", async () => {
    const bytes = framed(request(Buffer.from("in pieces")));
    const slow = new RawCall(session, PROPOSE);
    slow.stream.resume();
    for (const byte of bytes) {
      slow.stream.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    slow.stream.end();
    expect(await slow.ended).toMatchObject({ code: status.OK });
    const large = await new RawCall(session, PROPOSE).finish(request(Buffer.alloc(1024 * 1024, 7)));
    expect(large).toMatchObject({ code: status.OK });
  });

  it("that ends within its message, or is marked as compressed, is refused, and nothing is appended", async () => {
    const before = alone.node.state().last;
    const bytes = framed(request(Buffer.from("never")));
    for (const wrong of [bytes.subarray(0, 3), bytes.subarray(0, 8), framed(request(Buffer.from("never")), 1)]) {
      const call = new RawCall(session, PROPOSE);
      call.stream.end(wrong);
      expect(await call.ended).toMatchObject({ code: status.UNIMPLEMENTED });
    }
    expect(alone.node.state().last).toBe(before);
  });

  it("is refused when its message is larger than any may be, by its claim and by its bytes", async () => {
    const claims = new RawCall(session, PROPOSE);
    claims.stream.write(framed(Buffer.alloc(10), 0, 8 * 1024 * 1024 + 1));
    expect(await claims.ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    const lies = new RawCall(session, PROPOSE);
    lies.stream.resume();
    lies.stream.write(Buffer.concat([framed(Buffer.alloc(0), 0, 10), Buffer.alloc(9 * 1024 * 1024)]));
    expect((await lies.ended).code).toSatisfy((code) => code === undefined || code === status.RESOURCE_EXHAUSTED);
    const tooLarge = await new RawCall(session, PROPOSE).finish(request(Buffer.alloc(1024 * 1024 + 1)));
    expect(tooLarge).toMatchObject({ code: status.INVALID_ARGUMENT, failure: { violations: [{ field: "command" }] } });
  });

  it("of another content type is no gRPC", async () => {
    const call = new RawCall(session, PROPOSE, { "content-type": "application/json" });
    const headers = new Promise<Record<string, unknown>>((resolve) => call.stream.on("response", resolve));
    call.stream.end("{}");
    expect(await headers).toMatchObject({ ":status": 415 });
  });

  it("ends at its deadline, and what comes of it later is dropped", async () => {
    const other = openSession(addressOf(waiting));
    const half = new RawCall(other, PROPOSE, { "grpc-timeout": "100m" });
    const startMs = performance.now();
    half.stream.write(framed(request(Buffer.from("never whole"))));
    half.stream.resume();
    expect(await half.ended).toMatchObject({ code: status.DEADLINE_EXCEEDED });
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(99);
    // The node knows the deadline as well, and on a busy machine may be the first to see it pass.
    const whole = await new RawCall(other, PROPOSE, { "grpc-timeout": "100m" }).finish(request(Buffer.from("late")));
    if (whole.code === status.UNAVAILABLE) expect(whole).toMatchObject({ failure: { reason: "NO_LEADER" } });
    else expect(whole).toMatchObject({ code: status.DEADLINE_EXCEEDED });
    const patient = await new RawCall(other, PROPOSE).finish(request(Buffer.from("nobody leads")));
    expect(patient).toMatchObject({ code: status.UNAVAILABLE, failure: { reason: "NO_LEADER" } });
    other.destroy();
  });

  it("that its caller gives up leaves nothing behind but its command's chance", async () => {
    const other = openSession(addressOf(waiting));
    for (let i = 0; i < 100; i++) {
      const call = new RawCall(other, PROPOSE);
      call.stream.write(framed(request(Buffer.from("gone"))));
      if (i % 2 === 0) call.stream.end();
      call.cancel();
      await call.ended;
    }
    other.destroy();
    await eventually(() => waiting.node.status().proposalsInFlight === 0, "all are answered to nobody");
  });

  it("counts against what may be on its way until it ends, also when its message is there whole; refused, it is not appended", async () => {
    const before = alone.node.state().last;
    const other = openSession(addressOf(alone));
    const message = framed(request(Buffer.alloc(1024 * 1024, 7)));
    const calls = Array.from({ length: 70 }, () => new RawCall(other, PROPOSE));
    for (const { stream } of calls) {
      stream.resume();
      stream.write(message);
    }
    const refused = await Promise.race(calls.map((call) => call.ended));
    expect(refused).toMatchObject({ code: status.RESOURCE_EXHAUSTED, failure: { reason: "OVERLOADED" } });
    // The others lose their connection before they end.
    other.destroy();
    const next = await new RawCall(session, PROPOSE).finish(request(Buffer.from("next")));
    expect(next).toMatchObject({ code: status.OK });
    expect(alone.node.state().last).toBe(before + 1);
  });
});
