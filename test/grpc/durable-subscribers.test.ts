import type { MessageInitShape } from "@bufbuild/protobuf";
import { Server } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ClusterService } from "../../gen/raft/v1/cluster_pb.js";
import {
  type AcknowledgeRequestSchema,
  type ApplyHeader,
  type ApplyStreamRequestSchema,
  LogService,
} from "../../gen/raft/v1/log_pb.js";
import { ApplyHub } from "../../src/apply/hub.ts";
import { systemClock } from "../../src/clock.ts";
import { encodeApplyBatch } from "../../src/grpc/append-codec.ts";
import { applyStream } from "../../src/grpc/apply-stream.ts";
import { OpenStreams } from "../../src/grpc/calls.ts";
import { methodDefinition } from "../../src/grpc/definition.ts";
import { listen } from "../../src/grpc/listener.ts";
import { failureFrom, Translator } from "../../src/grpc/status.ts";
import { NO_SNAPSHOTS } from "../apply/support.ts";
import {
  call,
  connect,
  eventually,
  failureOf,
  makeFolder,
  openServerStream,
  Received,
  RecordedLog,
  removeFolder,
  startNode,
  type TestNode,
} from "./support.ts";

const FROM_CURSOR = { case: "fromCursor", value: true } as const;

let folder: string;
let one: TestNode;

beforeEach(async () => {
  folder = await makeFolder();
  await start();
});

afterEach(async () => {
  await one.stop();
  await removeFolder(folder);
});

async function start(node: NonNullable<Parameters<typeof startNode>[0]["node"]> = {}): Promise<void> {
  one = await startNode({ dataDir: folder, node });
  await eventually(() => one.node.status().notReadyReason === "", "ready");
}

function subscribe(request: MessageInitShape<typeof ApplyStreamRequestSchema>) {
  const stream = openServerStream(one.client, LogService.method.applyStream, request);
  return { stream, received: new Received(stream) };
}

/** A stream of a durable subscriber, once it has its header. */
async function open(
  subscriber: string,
  start: MessageInitShape<typeof ApplyStreamRequestSchema>["start"] = FROM_CURSOR,
) {
  const { stream, received } = subscribe({ subscriber, start });
  const [first] = await received.until(({ length }) => length > 0);
  const header = first?.frame.value as ApplyHeader;
  return { stream, received, subscriber, streamToken: header.streamToken, startIndex: Number(header.startIndex) };
}

async function propose(text: string): Promise<number> {
  return Number((await call(one.client, LogService.method.propose, { command: Buffer.from(text) })).index);
}

async function acknowledge(request: MessageInitShape<typeof AcknowledgeRequestSchema>): Promise<number> {
  return Number((await call(one.client, LogService.method.acknowledge, request)).cursor);
}

/** The reason of a call that has to fail, and its fields that are wrong. */
async function refusal(of: Promise<unknown>): Promise<string> {
  const failure = failureFrom(await failureOf(of));
  return [failure?.reason, ...(failure?.violations.map(({ field }) => field) ?? [])].join(" ");
}

async function list(): Promise<{ name: string; cursor: bigint }[]> {
  return (await call(one.client, ClusterService.method.listSubscribers, {})).subscribers;
}

describe("a durable subscriber", () => {
  it("starts where it acknowledged last, also after a restart, and a new one at its first stream's start", async () => {
    const indexes = [await propose("a"), await propose("b"), await propose("c")];
    const first = await open("reports");
    expect(first.startIndex).toBe(0);
    const [, second = 0] = indexes;
    expect(await acknowledge({ ...first, index: BigInt(second) })).toBe(second);
    expect(await list()).toMatchObject([{ name: "reports", cursor: BigInt(second) }]);
    const other = await open("late", { case: "afterIndex", value: BigInt(second) });
    expect(other.startIndex).toBe(second);
    expect(await list()).toMatchObject([{ name: "late", cursor: BigInt(second) }, { name: "reports" }]);
    await one.stop();
    await start();
    const again = await open("reports");
    expect(again.startIndex).toBe(second);
    const [, batch] = await again.received.until(({ length }) => length > 1);
    expect(batch?.frame).toMatchObject({
      case: "batch",
      value: { prevIndex: BigInt(second), entries: [{ index: BigInt(indexes[2] ?? 0) }] },
    });
  });

  it("is its newest stream: an older one ends, and its acknowledgements move nothing (PITFALL 60)", async () => {
    const index = await propose("a");
    const older = await open("reports");
    const newer = await open("reports");
    const end = await older.received.end();
    expect(failureFrom(end)?.reason).toBe("SUBSCRIBER_REPLACED");
    expect(await refusal(acknowledge({ ...older, index: BigInt(index) }))).toBe("SUBSCRIBER_REPLACED");
    expect((await open("other")).startIndex).toBe(0);
    expect(await list()).toMatchObject([{ name: "other" }, { name: "reports", cursor: 0n }]);
    expect(await acknowledge({ ...newer, index: BigInt(index) })).toBe(index);
  });

  it("may acknowledge what it had acknowledged, to no effect, and nothing that isn't committed", async () => {
    const index = await propose("a");
    const stream = await open("reports");
    expect(await acknowledge({ ...stream, index: BigInt(index) })).toBe(index);
    expect(await acknowledge({ ...stream, index: 1n })).toBe(index);
    expect(await refusal(acknowledge({ ...stream, index: 1_000n }))).toBe("CURSOR_AHEAD");
    expect(await list()).toMatchObject([{ cursor: BigInt(index) }]);
  });

  it("is refused with the field's name for what is malformed, and with a token of another stream", async () => {
    const index = BigInt(await propose("a"));
    const stream = await open("reports");
    const other = await open("other");
    const bad: [Partial<MessageInitShape<typeof AcknowledgeRequestSchema>>, string][] = [
      [{ streamToken: other.streamToken }, "INVALID_ARGUMENT stream_token"],
      [{ streamToken: new Uint8Array(0) }, "INVALID_ARGUMENT stream_token"],
      [{ streamToken: stream.streamToken.toReversed() }, "INVALID_ARGUMENT stream_token"],
      [{ index: 0n }, "INVALID_ARGUMENT index"],
      [{ subscriber: "" }, "INVALID_ARGUMENT subscriber"],
      [{ subscriber: "x".repeat(10_240) }, "INVALID_ARGUMENT subscriber"],
    ];
    for (const [fields, reason] of bad)
      expect(await refusal(acknowledge({ ...stream, index, ...fields }))).toBe(reason);
    const starts: [MessageInitShape<typeof ApplyStreamRequestSchema>, string][] = [
      [{ start: FROM_CURSOR }, "INVALID_ARGUMENT subscriber"],
      [{ subscriber: "x".repeat(10_240) }, "INVALID_ARGUMENT subscriber"],
      [{ subscriber: "x", start: { case: "fromCursor", value: false } }, "INVALID_ARGUMENT from_cursor"],
    ];
    for (const [request, reason] of starts) {
      const failure = failureFrom(await subscribe(request).received.end());
      expect(`${failure?.reason} ${failure?.violations[0]?.field}`).toBe(reason);
    }
    expect(await list()).toMatchObject([
      { name: "other", cursor: 0n },
      { name: "reports", cursor: 0n },
    ]);
  });

  it("whose state is of another log is refused, and takes nobody's place", async () => {
    const index = BigInt(await propose("a"));
    const stream = await open("reports");
    const foreign: MessageInitShape<typeof ApplyStreamRequestSchema>[] = [
      { start: FROM_CURSOR, logId: new Uint8Array(16).fill(9) },
      { start: { case: "afterIndex", value: index }, afterTerm: 77n },
    ];
    for (const request of foreign) {
      for (const subscriber of ["reports", "new"]) {
        const end = await subscribe({ ...request, subscriber }).received.end();
        expect(failureFrom(end)?.reason).toBe("LOG_EPOCH_MISMATCH");
      }
    }
    expect(await acknowledge({ ...stream, index })).toBe(Number(index));
    expect(await list()).toMatchObject([{ name: "reports", cursor: index }]);
  });

  it("that is removed is unknown, its stream ends, and it may begin anew", async () => {
    const index = BigInt(await propose("a"));
    const stream = await open("reports");
    await acknowledge({ ...stream, index });
    await call(one.client, ClusterService.method.removeSubscriber, { name: "reports" });
    expect(failureFrom(await stream.received.end())?.reason).toBe("SUBSCRIBER_REPLACED");
    expect(await list()).toEqual([]);
    expect(await refusal(acknowledge({ ...stream, index }))).toBe("NO_SUBSCRIBER");
    const again = call(one.client, ClusterService.method.removeSubscriber, { name: "reports" });
    expect(await refusal(again)).toBe("NO_SUBSCRIBER");
    expect((await open("reports")).startIndex).toBe(0);
  });

  it("shares its entries with all others: any number of acknowledgements take a few a second", async () => {
    for (let i = 0; i < 20; i++) await propose(`command ${i}`);
    const streams = [];
    for (let i = 0; i < 10; i++) streams.push(await open(`subscriber ${i}`));
    const before = one.node.state().last;
    const sent = streams.flatMap((stream) =>
      Array.from({ length: 20 }, (_, i) => ({ ...stream, index: BigInt(i + 2) })),
    );
    const cursors = await Promise.all(sent.map(acknowledge));
    expect(cursors).toHaveLength(200);
    expect(one.node.state().last - before).toBeLessThanOrEqual(3);
    for (const { cursor } of await list()) expect(cursor).toBe(21n);
  });

  it("is one of as many streams as are allowed, though more come while others are opened", async () => {
    const hub = new ApplyHub({
      log: one.node,
      encode: encodeApplyBatch,
      snapshots: NO_SNAPSHOTS,
      clock: systemClock,
      maxSubscribers: 2,
      progressIntervalMs: 1_000,
    });
    const log = new RecordedLog();
    const translator = new Translator({ leader: () => undefined, log, onFatal: () => {} });
    const context = { translator, streams: new OpenStreams(), nowMs: () => performance.now() };
    const server = new Server();
    server.addService(
      { ApplyStream: methodDefinition(LogService.method.applyStream) },
      { ApplyStream: applyStream(context, one.node, hub) },
    );
    const listener = await listen(server, ["127.0.0.1:0"], context.streams);
    const client = connect(listener.addresses[0] ?? "");
    const streams = ["a", "b", "c", "d"].map((subscriber) => {
      const request = { subscriber, start: { case: "fromCursor", value: true } } as const;
      return new Received(openServerStream(client, LogService.method.applyStream, request));
    });
    const refused: (string | undefined)[] = [];
    for (const stream of streams) void stream.end().then((end) => refused.push(failureFrom(end)?.reason));
    await eventually(() => refused.length === 2 && hub.subscribers === 2, "two are served, and two refused");
    expect(refused).toEqual(["OVERLOADED", "OVERLOADED"]);
    hub.close();
    client.close();
    await listener.close(100);
  });

  it("is one of 1,000 at most, and who has a place keeps it", async () => {
    const names = Array.from({ length: 1_000 }, (_, i) => `subscriber ${i}`);
    for (let at = 0; at < names.length; at += 50) {
      const opened = await Promise.all(names.slice(at, at + 50).map((name) => open(name)));
      for (const { stream } of opened) stream.cancel();
    }
    const failure = failureFrom(await subscribe({ subscriber: "one more", start: FROM_CURSOR }).received.end());
    expect(failure).toMatchObject({ reason: "OVERLOADED", metadata: { limit: "1000" } });
    expect((await open("subscriber 0")).startIndex).toBe(0);
    expect(await list()).toHaveLength(1_000);
  }, 60_000);
});

describe("what the log keeps for durable subscribers", () => {
  async function putSnapshot(index: number): Promise<void> {
    const upload = await one.snapshots.begin({ index, term: 0, format: "f" });
    await upload.finish(
      new Uint8Array(Buffer.from("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "hex")),
    );
  }

  async function compact(): Promise<number> {
    return Number((await call(one.client, ClusterService.method.compact, { keepEntries: 0n })).firstIndex);
  }

  it("is everything after the slowest one's cursor, whatever snapshots there are", async () => {
    await one.stop();
    await start({ catchUpEntries: 100 });
    for (let i = 0; i < 10; i++) await propose(`command ${i}`);
    const stream = await open("reports");
    await acknowledge({ ...stream, index: 5n });
    await putSnapshot(10);
    expect(await compact()).toBe(6);
    await acknowledge({ ...stream, index: 9n });
    expect(await compact()).toBe(10);
    await call(one.client, ClusterService.method.removeSubscriber, { name: "reports" });
    expect(await compact()).toBe(11);
  });

  it("ends with what it is to keep at most: the slowest one is dropped, and GetStatus says so before", async () => {
    await one.stop();
    await start({ retainEntries: 20, retentionPolicy: "drop-subscriber" });
    const slow = await open("slow");
    const status = async () => (await call(one.client, ClusterService.method.getStatus, {})).retention;
    for (let i = 0; i < 16; i++) await propose(`command ${i}`);
    expect(await status()).toMatchObject({ slowestSubscriber: "slow", level: "near", policy: "drop-subscriber" });
    const quick = await open("quick", { case: "tail", value: true });
    for (let i = 0; i < 10; i++) await propose(`command ${i}`);
    expect(failureFrom(await slow.received.end())?.reason).toBe("SUBSCRIBER_REPLACED");
    expect(await list()).toMatchObject([{ name: "quick" }]);
    quick.stream.cancel();
  });

  it("goes on growing when compaction is to be blocked, and says so", async () => {
    await one.stop();
    await start({ retainEntries: 5 });
    await open("slow");
    for (let i = 0; i < 10; i++) await propose(`command ${i}`);
    const { retention } = await call(one.client, ClusterService.method.getStatus, {});
    expect(retention).toMatchObject({ slowestSubscriber: "slow", level: "over", policy: "block-compaction" });
    expect(await list()).toMatchObject([{ name: "slow" }]);
  });
});
