import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ApplyStreamRequestSchema,
  type ApplyStreamResponse,
  LogService,
  ProposeStreamRequestSchema,
} from "../../gen/raft/v1/log_pb.js";
import { failureFrom } from "../../src/grpc/status.ts";
import {
  call,
  eventually,
  makeFolder,
  openBidi,
  openServerStream,
  Received,
  removeFolder,
  sleep,
  startNode,
  type TestNode,
} from "./support.ts";

let folder: string;
let sidecar: TestNode;

beforeAll(async () => {
  folder = await makeFolder();
  sidecar = await startNode({ dataDir: folder, node: { cacheBytes: 64 * 1024 } });
  await eventually(() => sidecar.node.status().notReadyReason === "", "ready");
});

afterAll(async () => {
  await sidecar.stop();
  await removeFolder(folder);
});

function subscribe(request: MessageInitShape<typeof ApplyStreamRequestSchema>) {
  const stream = openServerStream(sidecar.client, LogService.method.applyStream, request);
  return { stream, received: new Received(stream) };
}

async function propose(text: string): Promise<{ index: bigint; term: bigint }> {
  return call(sidecar.client, LogService.method.propose, { command: Buffer.from(text) });
}

/** Proposes `count` commands of `bytes` each; returns the last one's index. */
async function load(count: number, bytes: number): Promise<number> {
  const stream = openBidi(sidecar.client, LogService.method.proposeStream);
  const received = new Received(stream);
  const perMessage = Math.max(1, Math.min(1_000, Math.floor((1024 * 1024) / bytes)));
  for (let sent = 0; sent < count; sent += perMessage) {
    const items = Array.from({ length: Math.min(perMessage, count - sent) }, (_, i) => ({
      requestId: BigInt(sent + i),
      command: Buffer.alloc(bytes, sent + i),
    }));
    stream.write(create(ProposeStreamRequestSchema, { items }));
  }
  stream.end();
  expect((await received.end(20_000)).code).toBe(status.OK);
  const results = received.messages.flatMap((message) => message.results);
  const errors = results.flatMap(({ outcome }) => (outcome.case === "error" ? [outcome.value.message] : []));
  expect([...new Set(errors)]).toEqual([]);
  expect(results).toHaveLength(count);
  return sidecar.node.state().applied;
}

const covered = (frames: readonly ApplyStreamResponse[]): number =>
  frames.reduce((last, { frame }) => {
    if (frame.case === "batch") return Number(frame.value.lastIndex);
    if (frame.case === "progress") return Number(frame.value.index);
    return last;
  }, -1);

/** Holds the frames against what a stream promises, and returns the commands' indexes. */
function checkPromise(frames: readonly ApplyStreamResponse[], after: number): number[] {
  const indexes: number[] = [];
  let position = after;
  expect(frames[0]?.frame.case).toBe("header");
  for (const { frame } of frames.slice(1)) {
    if (frame.case === "progress") {
      expect(Number(frame.value.index)).toBeGreaterThanOrEqual(position);
      position = Number(frame.value.index);
    } else if (frame.case === "batch") {
      expect(Number(frame.value.prevIndex)).toBe(position);
      for (const { index, type } of frame.value.entries) {
        expect(type).toBe(1);
        expect(Number(index)).toBeGreaterThan(indexes.at(-1) ?? after);
        indexes.push(Number(index));
      }
      expect(indexes.at(-1)).toBeLessThanOrEqual(Number(frame.value.lastIndex));
      position = Number(frame.value.lastIndex);
    } else throw new Error(`an unexpected frame: ${frame.case}`);
  }
  return indexes;
}

describe("ApplyStream", () => {
  it("sends the header at once, then every command in order, historic and live, and covers internal entries", async () => {
    const historic = await propose("a");
    const { received, stream } = subscribe({});
    const live = await propose("b");
    const frames = await received.until((all) => covered(all) >= Number(live.index));
    const [first] = frames;
    expect(first?.frame.value).toMatchObject({
      clusterId: "test",
      nodeId: "n1",
      firstIndex: 1n,
      logId: Buffer.from(sidecar.node.logId),
    });
    expect(checkPromise(frames, 0)).toEqual([Number(historic.index), Number(live.index)]);
    // The log's first entry holds its id.
    expect(historic.index).toBeGreaterThan(1n);
    stream.cancel();
  });

  it("resumes after any index, from memory and from the disk, in batches of at most 2 MiB", async () => {
    const first = sidecar.node.state().applied;
    const last = await load(3_000, 2_000);
    let all: number[] | undefined;
    for (const after of [first, first + 1, first + 17, first + 1_500, last - 1, last]) {
      const { received, stream } = subscribe({ start: { case: "afterIndex", value: BigInt(after) } });
      const frames = await received.until((all) => covered(all) >= last);
      const indexes = checkPromise(frames, after);
      all ??= indexes;
      expect(all).toHaveLength(3_000);
      expect(indexes).toEqual(all.filter((index) => index > after));
      for (const { frame } of frames) {
        if (frame.case !== "batch") continue;
        const bytes = frame.value.entries.reduce((sum, entry) => sum + entry.command.length, 0);
        expect(bytes).toBeLessThanOrEqual(2 * 1024 * 1024);
      }
      stream.cancel();
    }
  });

  it("starts at the tail with nothing but what commits from now on", async () => {
    const before = await propose("before");
    const { received, stream } = subscribe({ start: { case: "tail", value: true } });
    await received.until((frames) => frames.length > 0);
    const { index } = await propose("now");
    const frames = await received.until((all) => covered(all) >= Number(index));
    expect(checkPromise(frames, Number(before.index))).toEqual([Number(index)]);
    stream.cancel();
  });

  it("reports progress on an idle stream, and on one that is ahead, and never goes back", async () => {
    const { index } = await propose("a");
    const ahead = Number(index) + 10;
    const { received, stream } = subscribe({ start: { case: "afterIndex", value: BigInt(ahead) } });
    await received.until((frames) => frames.filter(({ frame }) => frame.case === "progress").length >= 2);
    while (sidecar.node.state().applied < ahead + 1) await propose("more");
    const frames = await received.until((all) => covered(all) > ahead);
    expect(checkPromise(frames, ahead)[0]).toBe(ahead + 1);
    stream.cancel();
  });

  it("covers a commit of internal entries alone at once", async () => {
    await sidecar.stop();
    // A new term's no-op, and no command: a reader behind a barrier must not wait for the idle interval.
    sidecar = await startNode({ dataDir: folder, progressIntervalMs: 3_600_000 });
    const { received, stream } = subscribe({});
    const barrier = await call(sidecar.client, LogService.method.readIndex, {});
    await received.until((frames) => covered(frames) >= Number(barrier.index));
    stream.cancel();
  });

  it("refuses a subscriber of another log, showing both sides' ids", async () => {
    await propose("a");
    const foreign = Buffer.alloc(16, 7);
    const end = await subscribe({ logId: foreign }).received.end();
    expect(end.code).toBe(status.FAILED_PRECONDITION);
    expect(failureFrom(end)?.reason).toBe("LOG_EPOCH_MISMATCH");
    expect(failureFrom(end)?.metadata).toEqual({
      log_id: Buffer.from(sidecar.node.logId).toString("hex"),
      requested_log_id: foreign.toString("hex"),
    });
    const same = subscribe({ logId: sidecar.node.logId });
    await same.received.until((frames) => covered(frames) > 0);
    same.stream.cancel();
  });

  it("refuses a subscriber that saw another term at its index, also when the index is reached only later", async () => {
    const { index, term } = await propose("a");
    const wrong = { start: { case: "afterIndex", value: index } as const, afterTerm: term + 1n };
    expect(failureFrom(await subscribe(wrong).received.end())?.reason).toBe("LOG_EPOCH_MISMATCH");
    const right = subscribe({ ...wrong, afterTerm: term });
    const later = subscribe({ ...wrong, start: { case: "afterIndex", value: index + 1n } });
    await later.received.until((frames) => frames.length > 0);
    expect(later.received.status).toBeUndefined();
    await propose("b");
    expect(failureFrom(await later.received.end())?.reason).toBe("LOG_EPOCH_MISMATCH");
    await right.received.until((frames) => covered(frames) > Number(index));
    right.stream.cancel();
  });

  it.each([
    ["a term without an index", { afterTerm: 1n }, "after_term"],
    ["an index near 2^64", { start: { case: "afterIndex", value: 2n ** 64n - 1n } as const }, "after_index"],
    ["a tail of false", { start: { case: "tail", value: false } as const }, "tail"],
    ["half a log id", { logId: Buffer.alloc(8) }, "log_id"],
  ])("refuses %s with the field's name", async (_what, request, field) => {
    const end = await subscribe(request).received.end();
    expect(end.code).toBe(status.INVALID_ARGUMENT);
    expect(failureFrom(end)?.violations[0]?.field).toBe(field);
  });

  it("delivers the same to all of many subscribers", async () => {
    const after = sidecar.node.state().applied;
    const start = { case: "afterIndex", value: BigInt(after) } as const;
    const readers = Array.from({ length: 5 }, () => subscribe({ start }));
    const last = await load(1_000, 500);
    for (const { received, stream } of readers) {
      await received.until((frames) => covered(frames) >= last);
      expect(checkPromise(received.messages, after)).toHaveLength(1_000);
      stream.cancel();
    }
  });

  it("keeps little for a subscriber that doesn't read, and delays nobody for it", async () => {
    const after = sidecar.node.state().applied;
    const start = { case: "afterIndex", value: BigInt(after) } as const;
    const last = await load(1_000, 40_000);
    const before = bytesInBuffers();
    const stalled = await Promise.all(Array.from({ length: 5 }, () => stalledSubscriber(after)));
    await sleep(500);
    // Five times a few of the 40 MB, and the batches that are kept for all.
    expect(bytesInBuffers() - before).toBeLessThan(30 * 1024 * 1024);
    const { received, stream } = subscribe({ start });
    await received.until((frames) => covered(frames) >= last);
    stream.cancel();
    for (const leave of stalled) leave();
  });

  it("leaves nothing behind when subscribers go away", async () => {
    const all = Array.from({ length: 20 }, () => subscribe({ start: { case: "tail", value: true } }));
    await Promise.all(all.map(({ received }) => received.until((frames) => frames.length > 0)));
    expect(await openStreams()).toBe(20);
    for (const { stream } of all) stream.cancel();
    for (let i = 0; i < 100 && (await openStreams()) > 0; i++) await sleep(10);
    expect(await openStreams()).toBe(0);
  });

  it("ends with UNAVAILABLE and DRAINING after what was written when the node drains", async () => {
    const { index } = await propose("a");
    const { received } = subscribe({});
    await received.until((frames) => covered(frames) >= Number(index));
    sidecar.node.drain(() => {});
    const end = await received.end();
    expect(end.code).toBe(status.UNAVAILABLE);
    expect(failureFrom(end)?.reason).toBe("DRAINING");
  });
});

async function openStreams(): Promise<number> {
  const { ClusterService } = await import("../../gen/raft/v1/cluster_pb.js");
  return (await call(sidecar.client, ClusterService.method.getStatus, {})).applyStreams;
}

/** A client that opens a stream and never reads from it. Returns how to leave. */
async function stalledSubscriber(after: number): Promise<() => void> {
  const session = connectHttp2(`http://${sidecar.listener.addresses[0]}`);
  const stream = session.request({
    ":method": "POST",
    ":path": "/raft.v1.LogService/ApplyStream",
    "content-type": "application/grpc",
    te: "trailers",
  });
  const request = create(ApplyStreamRequestSchema, { start: { case: "afterIndex", value: BigInt(after) } });
  const message = toBinary(ApplyStreamRequestSchema, request);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
  await once(stream, "response");
  return () => session.destroy();
}

function bytesInBuffers(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().arrayBuffers;
}
