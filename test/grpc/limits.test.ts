import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, symlink, writeFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { Server, type ServerDuplexStream, status } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LogService, ProposeStreamRequestSchema } from "../../gen/raft/v1/log_pb.js";
import type { CommittedLog } from "../../src/apply/committed-log.ts";
import { ApplyHub } from "../../src/apply/hub.ts";
import { systemClock } from "../../src/clock.ts";
import type { Failure } from "../../src/failure.ts";
import { encodeApplyBatch } from "../../src/grpc/append-codec.ts";
import { OpenStreams, StreamReader } from "../../src/grpc/calls.ts";
import { methodDefinition } from "../../src/grpc/definition.ts";
import { listen } from "../../src/grpc/listener.ts";
import { watchState } from "../../src/grpc/state.ts";
import { failureFrom, Translator } from "../../src/grpc/status.ts";
import { Watch } from "../../src/node/watch.ts";
import { NO_SNAPSHOTS } from "../apply/support.ts";
import { freePort } from "../support/ports.ts";
import {
  call,
  connect,
  eventually,
  failureOf,
  makeFolder,
  openBidi,
  openServerStream,
  Received,
  RecordedLog,
  removeFolder,
  sleep,
  startNode,
  type TestNode,
} from "./support.ts";

let folder: string;

beforeEach(async () => {
  folder = await makeFolder();
});

afterEach(() => removeFolder(folder));

async function startReady(): Promise<TestNode> {
  const sidecar = await startNode({ dataDir: folder });
  await eventually(() => sidecar.node.status().notReadyReason === "", "ready");
  return sidecar;
}

describe("a node that shuts down", () => {
  it("answers what is pending, refuses what is new, ends every stream with DRAINING, and is NOT_SERVING", async () => {
    const sidecar = await startReady();
    const { client } = sidecar;
    const proposing = openBidi(client, LogService.method.proposeStream);
    const results = new Received(proposing);
    const applying = new Received(openServerStream(client, LogService.method.applyStream, {}));
    const watching = new Received(openServerStream(client, LogService.method.watchState, {}));
    const health = new Received<{ status: string }>(watchHealth(sidecar));
    await applying.until((frames) => frames.length > 0);
    await health.until((all) => all.at(-1)?.status === "SERVING");
    const items = Array.from({ length: 500 }, (_, i) => ({ requestId: BigInt(i), command: Buffer.from("x") }));
    proposing.write(create(ProposeStreamRequestSchema, { items }));
    await eventually(() => sidecar.node.status().proposalsInFlight > 0 || results.messages.length > 0, "read");

    sidecar.node.drain(() => {});
    await health.until((all) => all.at(-1)?.status === "NOT_SERVING");
    const refused = await failureOf(call(client, LogService.method.propose, { command: Buffer.from("late") }));
    expect(failureFrom(refused)?.reason).toBe("DRAINING");
    for (const stream of [results, applying, watching]) {
      const end = await stream.end();
      expect(end.code).toBe(status.UNAVAILABLE);
      expect(failureFrom(end)?.reason).toBe("DRAINING");
    }
    const answers = results.messages.flatMap((message) => message.results);
    expect(answers).toHaveLength(500);

    const started = performance.now();
    await sidecar.listener.close(5_000);
    // The health watch has no end of its own, and doesn't hold up the shutdown.
    expect(performance.now() - started).toBeLessThan(2_000);
    expect((await health.end()).code).toBe(status.OK);
    await sidecar.stop();
  });
});

const NO_FRAMES = { batch: () => {}, progress: () => {}, snapshot: () => {}, chunk: () => {} };

describe("limits", () => {
  it("takes no more subscribers than allowed, and says when to try again", async () => {
    const sidecar = await startReady();
    const hub = new ApplyHub({
      log: sidecar.node,
      encode: encodeApplyBatch,
      snapshots: NO_SNAPSHOTS,
      clock: systemClock,
      maxSubscribers: 1,
      progressIntervalMs: 1_000,
    });
    const start = { afterIndex: 0, afterTerm: 0, logId: new Uint8Array(0), formats: [] };
    const cursor = hub.add(start, { ready: false, ...NO_FRAMES, end: () => {} });
    expect(hub.refusal()).toMatchObject({ reason: "OVERLOADED", retryAfterMs: 1_000 });
    hub.remove(cursor);
    expect(hub.refusal()).toBeUndefined();
    hub.close();
    await sidecar.stop();
  });

  it("refuses a start below the first retained index, and says where it could start", async () => {
    const sidecar = await startReady();
    // The same log as if its beginning had been compacted.
    const { node } = sidecar;
    const log: CommittedLog = {
      logId: node.logId,
      draining: false,
      snapshots: { isWanted: false },
      state: () => ({ ...node.state(), first: 5, applied: 4 }),
      termAt: (index) => node.termAt(index),
      readLog: (first, last, maxBytes, done) => node.readLog(first, last, maxBytes, done),
      onApplied: (listener) => node.onApplied(listener),
    };
    const hub = new ApplyHub({
      log,
      encode: encodeApplyBatch,
      snapshots: NO_SNAPSHOTS,
      clock: systemClock,
      maxSubscribers: 2,
      progressIntervalMs: 1_000,
    });
    const ends: Failure[] = [];
    const sink = {
      ready: true,
      ...NO_FRAMES,
      end: (failure: Failure) => void ends.push(failure),
    };
    const start = { afterTerm: 0, logId: new Uint8Array(0), formats: [] };
    hub.add({ ...start, afterIndex: 4 }, sink).wake();
    expect(ends).toEqual([]);
    hub.add({ ...start, afterIndex: 3 }, sink).wake();
    expect(ends).toMatchObject([{ reason: "COMPACTED", metadata: { first_index: "5", after_index: "3" } }]);
    hub.close();
    await sidecar.stop();
  });

  it.each([
    ["items", { maxProposals: 1 }, "must be 1 to 1 a message, are 2"],
    ["bytes", { maxProposalBytes: 1_000 }, "must have at most 1000 bytes a message, have 1200"],
  ])("refuses for good what has more %s than the node ever takes", async (_what, node, description) => {
    const sidecar = await startNode({ dataDir: folder, node });
    const stream = openBidi(sidecar.client, LogService.method.proposeStream);
    const received = new Received(stream);
    const items = [1n, 2n].map((requestId) => ({ requestId, command: Buffer.alloc(600) }));
    stream.write(create(ProposeStreamRequestSchema, { items }));
    const end = await received.end();
    expect(failureFrom(end)).toMatchObject({
      reason: "INVALID_ARGUMENT",
      violations: [{ field: "items", description }],
    });
    expect(received.messages).toEqual([]);
    await sidecar.stop();
  });

  it("reads no further from a ProposeStream with 4,096 items in flight", async () => {
    const peers = new Map([
      ["n1", `127.0.0.1:${await freePort()}`],
      ["n2", `127.0.0.1:${await freePort()}`],
    ]);
    // Without n2 there is no leader, so proposals wait.
    const sidecar = await startNode({ dataDir: folder, peers, node: { electionTimeoutMaxMs: 10_000 } });
    const stream = openBidi(sidecar.client, LogService.method.proposeStream);
    const received = new Received(stream);
    for (let first = 0; first < 16_000; first += 2_000) {
      const items = Array.from({ length: 2_000 }, (_, i) => ({
        requestId: BigInt(first + i),
        command: Buffer.from("x"),
      }));
      stream.write(create(ProposeStreamRequestSchema, { items }));
    }
    await eventually(() => sidecar.node.status().proposalsInFlight >= 6_000, "read up to the bound");
    await sleep(200);
    expect(sidecar.node.status().proposalsInFlight).toBe(6_000);
    expect(received.messages).toEqual([]);
    stream.cancel();
    await sidecar.stop();
  });

  it("reads no further from a ProposeStream with 8 MiB in flight", async () => {
    const peers = new Map([
      ["n1", `127.0.0.1:${await freePort()}`],
      ["n2", `127.0.0.1:${await freePort()}`],
    ]);
    const sidecar = await startNode({ dataDir: folder, peers, node: { electionTimeoutMaxMs: 10_000 } });
    const stream = openBidi(sidecar.client, LogService.method.proposeStream).on("error", () => {});
    const command = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 20; i++) {
      stream.write(create(ProposeStreamRequestSchema, { items: [{ requestId: BigInt(i), command }] }));
    }
    await eventually(() => sidecar.node.status().proposalsInFlight >= 8, "read up to the bound");
    await sleep(300);
    expect(sidecar.node.status().proposalsInFlight).toBe(8);
    stream.cancel();
    await sidecar.stop();
  });

  it("reads nothing ahead from a stream that is paused, and everything once it goes on", async () => {
    const server = new Server();
    const arrived = Promise.withResolvers<{ readableLength: number; reader: StreamReader }>();
    const messages: unknown[] = [];
    server.addService(
      { ProposeStream: methodDefinition(LogService.method.proposeStream) },
      {
        ProposeStream: (call: ServerDuplexStream<unknown, unknown>) => {
          const reader = new StreamReader(call);
          call.on("data", (message) => {
            messages.push(message);
            if (messages.length > 1) return;
            reader.pause();
            setTimeout(() => arrived.resolve({ readableLength: call.readableLength, reader }), 200);
          });
          call.on("end", () => call.end());
        },
      },
    );
    const listener = await listen(server, ["127.0.0.1:0"], new OpenStreams());
    const client = connect(listener.addresses[0] ?? "");
    const stream = openBidi(client, LogService.method.proposeStream);
    const received = new Received(stream);
    for (let i = 0; i < 40; i++) stream.write(create(ProposeStreamRequestSchema, {}));
    stream.end();
    const { readableLength, reader } = await arrived.promise;
    expect(readableLength).toBe(0);
    expect(messages).toHaveLength(1);
    reader.resume();
    expect((await received.end()).code).toBe(status.OK);
    expect(messages).toHaveLength(40);
    client.close();
    await listener.close(100);
  });

  it("ends a watch whose reader is too slow, and leaves out no event before the end", async () => {
    const event = { role: "follower", term: 1, leader: "", leaderAddress: "", leaderIndex: 0 } as const;
    const watch = new Watch(event);
    const source = { watch: watch.add.bind(watch), onApplied: () => () => {}, draining: false };
    const log = new RecordedLog();
    const translator = new Translator({ leader: () => undefined, log, onFatal: () => {} });
    const context = { translator, streams: new OpenStreams(), nowMs: () => performance.now() };
    const server = new Server();
    server.addService(
      { WatchState: methodDefinition(LogService.method.watchState) },
      { WatchState: watchState(context, source) },
    );
    const listener = await listen(server, ["127.0.0.1:0"], context.streams);
    const client = connect(listener.addresses[0] ?? "");
    const received = new Received(openServerStream(client, LogService.method.watchState, {}));
    await received.until((events) => events.length === 1);
    // More at once than the connection takes and the queue holds.
    for (let term = 2; term <= 1_000; term++) watch.maybeChange({ ...event, term });
    const end = await received.end();
    expect(end.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(failureFrom(end)).toMatchObject({ reason: "OVERLOADED" });
    expect(received.messages.map(({ number }) => Number(number))).toEqual(received.messages.map((_, i) => i + 1));
    client.close();
    await listener.close(100);
  });
});

describe("a unix socket", () => {
  it("that a killed process left behind is taken over, one in use is not", async () => {
    const path = `${folder}/socket`;
    const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`;
    const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    await expect(listen(new Server(), [`unix:${path}`], new OpenStreams())).rejects.toThrow("is in use");
    child.kill("SIGKILL");
    await once(child, "exit");
    const listener = await listen(new Server(), [`unix:${path}`], new OpenStreams());
    expect(listener.addresses).toEqual([`unix:${path}`]);
    await listener.close(100);
  });

  it.each(["a file", "a link to one"])("doesn't take the place of %s", async (kind) => {
    const [file, link] = [`${folder}/file`, `${folder}/link`];
    await writeFile(file, "precious");
    await symlink(file, link);
    const path = kind === "a file" ? file : link;
    const listening = listen(new Server(), [`unix:${path}`], new OpenStreams());
    await expect(listening).rejects.toThrow(`can't listen on unix:${path}: it is not a socket`);
    expect(await readFile(link, "utf8")).toBe("precious");
  });
});

function watchHealth({ client }: TestNode) {
  const { Watch: watch } = healthService;
  if (watch === undefined) throw new Error("grpc-health-check has a definition of Watch");
  return client.makeServerStreamRequest(
    watch.path,
    watch.requestSerialize,
    watch.responseDeserialize as (bytes: Buffer) => { status: string },
    { service: "" } as never,
  );
}
