import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type ClientWritableStream, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ClusterService } from "../../gen/raft/v1/cluster_pb.js";
import {
  type GetSnapshotResponse,
  LogService,
  type PutSnapshotRequest,
  PutSnapshotRequestSchema,
  type PutSnapshotResponse,
} from "../../gen/raft/v1/log_pb.js";
import { methodDefinition } from "../../src/grpc/definition.ts";
import { failureFrom } from "../../src/grpc/status.ts";
import {
  call,
  eventually,
  failureOf,
  makeFolder,
  openServerStream,
  Received,
  removeFolder,
  sleep,
  startNode,
  type TestNode,
} from "./support.ts";

type Part = NonNullable<MessageInitShape<typeof PutSnapshotRequestSchema>["part"]>;

const STATE = Buffer.from('{"x":1}');
const MIB = 1024 * 1024;

let folder: string;
let one: TestNode;

beforeEach(async () => {
  folder = await makeFolder();
  await start();
});

afterEach(async () => {
  vi.restoreAllMocks();
  await one.stop();
  await removeFolder(folder);
});

async function start(): Promise<void> {
  one = await startNode({ dataDir: folder });
  // The first entry, the log's id, is what some snapshots stand for.
  await eventually(() => one.node.state().applied >= 1, "ready, with one entry");
}

describe("PutSnapshot and GetSnapshot", () => {
  it("give back what was put, on the same node, also after a restart", async () => {
    await propose(3);
    const { applied: index, term } = one.node.state();
    const snapshot = {
      index: BigInt(index),
      term: BigInt(term),
      format: "kv/1",
      size: 7n,
      sha256: sha256(STATE),
    };
    expect((await put(parts(index, STATE))).snapshot).toMatchObject(snapshot);
    for (let opening = 0; opening < 2; opening++) {
      const { header, state } = await get();
      expect(header).toMatchObject(snapshot);
      expect(state).toEqual(STATE);
      expect((await call(one.client, ClusterService.method.getStatus, {})).snapshot).toMatchObject(snapshot);
      await one.stop();
      await start();
    }
    expect(one.fatal).toEqual([]);
  });

  it("take an empty state, and one of many chunks", async () => {
    await put(parts(1, Buffer.alloc(0)));
    expect((await get()).state).toEqual(Buffer.alloc(0));
    await propose(1);
    const large = Buffer.alloc(20 * MIB, "many chunks ");
    await put(parts(2, large));
    expect((await get()).state.equals(large)).toBe(true);
  });

  it("say which format it is, and give the newest in one that is accepted", async () => {
    await propose(2);
    await put(parts(1, STATE, { format: "old/1" }));
    await put(parts(2, Buffer.from("new"), { format: "new/1" }));
    expect((await get()).header?.format).toBe("new/1");
    expect((await get(["old/1"])).header).toMatchObject({ format: "old/1", index: 1n });
    expect((await get(["x", "new/1", "old/1"])).header?.format).toBe("new/1");
    expect(failureFrom(await getFails(["x"]))).toMatchObject({ reason: "NO_SNAPSHOT" });
  });

  it("of a node without any answer NOT_FOUND, and an absent snapshot", async () => {
    const error = await getFails([]);
    expect(error.code).toBe(status.NOT_FOUND);
    expect(failureFrom(error)?.reason).toBe("NO_SNAPSHOT");
    expect((await call(one.client, ClusterService.method.getStatus, {})).snapshot).toBeUndefined();
  });
});

describe("a PutSnapshot that can't be stored", () => {
  const header = (fields: object = {}): Part => ({ case: "header", value: { index: 2n, format: "kv/1", ...fields } });
  const chunk = (value: Uint8Array): Part => ({ case: "chunk", value: Uint8Array.from(value) });
  const checksum = (value: Uint8Array): Part => ({ case: "sha256", value: Uint8Array.from(value) });
  const good = checksum(sha256(STATE));

  it.each<[string, Part[], status, object]>([
    ["nothing", [], status.INVALID_ARGUMENT, { violations: [{ field: "part" }] }],
    ["no header", [chunk(STATE), good], status.INVALID_ARGUMENT, { violations: [{ field: "part" }] }],
    ["two headers", [header(), header(), good], status.INVALID_ARGUMENT, { violations: [{ field: "part" }] }],
    ["an unknown part", [header(), { case: undefined }], status.INVALID_ARGUMENT, { violations: [{ field: "part" }] }],
    ["index 0", [header({ index: 0n })], status.INVALID_ARGUMENT, { violations: [{ field: "header.index" }] }],
    [
      "index 2^60",
      [header({ index: 2n ** 60n })],
      status.INVALID_ARGUMENT,
      { violations: [{ field: "header.index" }] },
    ],
    ["term 2^60", [header({ term: 2n ** 60n })], status.INVALID_ARGUMENT, { violations: [{ field: "header.term" }] }],
    ["no format", [header({ format: "" })], status.INVALID_ARGUMENT, { violations: [{ field: "header.format" }] }],
    [
      "a long format",
      [header({ format: "x".repeat(65) })],
      status.INVALID_ARGUMENT,
      { violations: [{ field: "header.format" }] },
    ],
    [
      "an empty chunk",
      [header(), chunk(Buffer.alloc(0)), good],
      status.INVALID_ARGUMENT,
      { violations: [{ field: "chunk" }] },
    ],
    [
      "a large chunk",
      [header(), chunk(Buffer.alloc(2 * MIB + 1)), good],
      status.INVALID_ARGUMENT,
      { violations: [{ field: "chunk" }] },
    ],
    ["no checksum", [header(), chunk(STATE)], status.INVALID_ARGUMENT, { violations: [{ field: "part" }] }],
    [
      "a short checksum",
      [header(), chunk(STATE), checksum(Buffer.alloc(31))],
      status.INVALID_ARGUMENT,
      { violations: [{ field: "sha256" }] },
    ],
    ["more than it", [header(), good, chunk(STATE)], status.INVALID_ARGUMENT, { violations: [{ field: "part" }] }],
    [
      "another checksum",
      [header(), chunk(STATE), checksum(Buffer.alloc(32))],
      status.INVALID_ARGUMENT,
      { reason: "CHECKSUM_MISMATCH", metadata: { size: "7", sha256: sha256(STATE).toString("hex") } },
    ],
    [
      "one chunk less",
      [header(), chunk(STATE.subarray(1)), good],
      status.INVALID_ARGUMENT,
      { reason: "CHECKSUM_MISMATCH", metadata: { size: "6" } },
    ],
    [
      "an entry to come",
      [header({ index: 1_000n }), chunk(STATE), good],
      status.FAILED_PRECONDITION,
      { reason: "SNAPSHOT_AHEAD", metadata: { applied_index: "3" }, retryAfterMs: 1_000 },
    ],
    [
      "an entry before the last snapshot's",
      [header({ index: 1n }), chunk(STATE), good],
      status.FAILED_PRECONDITION,
      { reason: "SNAPSHOT_OUTDATED", metadata: { snapshot_index: "1" } },
    ],
    [
      "another term",
      [header({ term: 77n }), chunk(STATE), good],
      status.FAILED_PRECONDITION,
      { reason: "LOG_EPOCH_MISMATCH", metadata: { term: "77", node_term: "1" } },
    ],
  ])("with %s says so, and leaves what there was", async (_what, sent, code, failure) => {
    await propose(2);
    await put(parts(1, Buffer.from("before")));
    const error = await failureOf(put(sent));
    expect(error.code).toBe(code);
    const { violations = [], ...others } = failure as { violations?: object[] };
    expect(failureFrom(error)).toMatchObject({
      ...others,
      violations: violations.map((one) => expect.objectContaining(one)),
    });
    expect((await get()).state).toEqual(Buffer.from("before"));
    await eventually(() => files().length === 1, "the rest is removed");
    await put(parts(2, STATE));
    expect((await get()).state).toEqual(STATE);
    expect(one.fatal).toEqual([]);
  });

  it("as the node has two others on their way, may be tried again", async () => {
    await propose(2);
    const [first, second] = [new Put(), new Put()];
    for (const other of [first, second]) other.write(header());
    await eventually(() => files().length === 2, "two have begun");
    const error = await failureOf(put(parts(2, STATE)));
    expect(error.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(failureFrom(error)).toMatchObject({ reason: "OVERLOADED", retryAfterMs: 1_000 });
    first.cancel();
    await eventually(() => files().length === 1, "what was cancelled is removed");
    await put(parts(2, STATE));
    // It was on its way first, and is too late now.
    for (const part of [chunk(STATE), good]) second.write(part);
    expect(failureFrom(await failureOf(second.finish()))).toMatchObject({ reason: "SNAPSHOT_OUTDATED" });
    await eventually(() => files().length === 1, "what was too late is removed");
    expect((await get()).state).toEqual(STATE);
  });

  it("as two race, is stored once", async () => {
    await propose(1);
    const results = await Promise.allSettled([put(parts(1, STATE)), put(parts(1, STATE))]);
    expect(results.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
    const [lost] = results.filter((result) => result.status === "rejected");
    expect(failureFrom(lost?.reason as ServiceError)).toMatchObject({ reason: "SNAPSHOT_OUTDATED" });
    expect((await get()).state).toEqual(STATE);
  });

  it("as its next part doesn't come within a minute, is given up", async () => {
    await propose(1);
    hurry(60_000, 300);
    const silent = new Put();
    silent.write(header());
    const error = await failureOf(silent.answer);
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(failureFrom(error)?.violations).toMatchObject([{ field: "part" }]);
    await eventually(() => files().length === 0, "it is removed");
    await put(parts(2, STATE));
  });

  it("and can't even be removed, makes room for others all the same, and ends nothing", async () => {
    await propose(1);
    const [first, second] = [new Put(), new Put()];
    for (const other of [first, second]) other.write(header({ index: 1n }));
    await eventually(() => files().length === 2, "two have begun");
    const [there, away] = [join(folder, "snapshots"), join(folder, "away")];
    await rename(there, away);
    await writeFile(there, "in the way");
    for (const other of [first, second]) other.cancel();
    // Long enough for both to be given up, in vain.
    await sleep(300);
    await rm(there);
    await rename(away, there);
    expect((await put(parts(1, STATE))).snapshot?.size).toBe(7n);
    expect(one.fatal).toEqual([]);
  });

  it("as the node shuts down, gets DRAINING, also when it has begun", async () => {
    await propose(1);
    const begun = new Put();
    begun.write(header({ index: 1n }));
    await eventually(() => files().length === 1, "it has begun");
    const ended = failureOf(begun.answer);
    one.node.drain(() => {});
    expect(failureFrom(await failureOf(put(parts(1, STATE))))).toMatchObject({ reason: "DRAINING" });
    await one.listener.close(200);
    expect(failureFrom(await ended)).toMatchObject({ reason: "DRAINING" });
    await eventually(() => files().length === 0, "it is removed");
  });
});

describe("a node that ends while a snapshot comes", () => {
  it.each([0, 5, 15, 30, 60])("%i ms later has it whole or not at all, and ends in order", async (delayMs) => {
    const large = Buffer.alloc(8 * MIB, "a large state ");
    const sent = put(parts(1, large)).then(
      () => true,
      () => false,
    );
    await eventually(() => files().length > 0, "it has begun");
    await sleep(delayMs);
    await one.stop();
    const isStored = await sent;
    expect(one.fatal).toEqual([]);
    await start();
    const found = (await call(one.client, ClusterService.method.getStatus, {})).snapshot;
    if (isStored) expect(found?.size).toBe(BigInt(large.length));
    if (found === undefined) expect(files()).toEqual([]);
    else expect((await get()).state.equals(large)).toBe(true);
  });
});

describe("a GetSnapshot", () => {
  it("whose reader stalls has the file wait for it", async () => {
    const large = Buffer.alloc(30 * MIB, "slowly ");
    await put(parts(1, large));
    const stream = openServerStream(one.client, LogService.method.getSnapshot, {});
    const chunks: Uint8Array[] = [];
    for await (const { part } of stream as AsyncIterable<GetSnapshotResponse>) {
      if (part.case !== "chunk") continue;
      chunks.push(part.value);
      if (chunks.length < 3) await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(Buffer.concat(chunks).equals(large)).toBe(true);
  });

  it("with too many formats, or bad ones, is refused", async () => {
    expect((await getFails(Array(17).fill("x"))).code).toBe(status.INVALID_ARGUMENT);
    expect(failureFrom(await getFails(["ok", ""]))?.violations).toMatchObject([{ field: "formats[1]" }]);
  });

  it("is refused while sixteen others are under way, and not when one of them has ended", async () => {
    await put(parts(1, Buffer.alloc(32 * MIB, "long")));
    const stalled = Array.from({ length: 16 }, stalledReader);
    await Promise.all(stalled.map((stream) => new Promise((resolve) => stream.once("metadata", resolve))));
    const refused = await getFails([]);
    expect(refused.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(failureFrom(refused)).toMatchObject({
      reason: "OVERLOADED",
      metadata: { limit: "16" },
      retryAfterMs: 1_000,
    });
    for (const stream of stalled) {
      stream.on("error", () => {});
      stream.cancel();
    }
    await sleep(300);
    expect((await get()).state).toHaveLength(32 * MIB);
  });

  it("whose reader takes nothing for a minute is ended", async () => {
    await put(parts(1, Buffer.alloc(32 * MIB, "long")));
    hurry(60_000, 300);
    const stalled = stalledReader();
    await sleep(1_000);
    const received = new Received(stalled);
    stalled.resume();
    const end = await received.end();
    expect(failureFrom(end)).toMatchObject({ reason: "OVERLOADED" });
  });

  it("of a file that is gone fails with DATA_LOSS, and ends the node", async () => {
    await put(parts(1, STATE));
    await rm(join(folder, "snapshots", files()[0] ?? ""));
    expect(failureFrom(await getFails([]))?.reason).toBe("DATA_LOSS");
    expect(one.fatal).toMatchObject([{ kind: "damaged", message: expect.stringContaining("it is missing") }]);
  });

  it("of a file that was altered fails with DATA_LOSS, and ends the node", async () => {
    await put(parts(1, STATE));
    const file = join(folder, "snapshots", files()[0] ?? "");
    const bytes = await readFile(file);
    bytes[0] = 0;
    await writeFile(file, bytes);
    const error = await getFails([]);
    expect(failureFrom(error)?.reason).toBe("DATA_LOSS");
    expect(one.fatal).toMatchObject([{ kind: "damaged", message: expect.stringContaining("its SHA-256 differs") }]);
  });
});

/** grpc-js takes everything for a reader that never begins: this one begins, and goes no further. */
function stalledReader() {
  const stream = openServerStream(one.client, LogService.method.getSnapshot, {});
  return stream.once("data", () => stream.pause());
}

/** From now on timers of so many milliseconds are shorter. */
function hurry(ofMs: number, toMs: number): void {
  const real = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((run: () => void, ms?: number) =>
    real(run, ms === ofMs ? toMs : ms)) as typeof setTimeout);
}

/** One call of PutSnapshot. */
class Put {
  readonly #stream: ClientWritableStream<PutSnapshotRequest>;
  readonly answer: Promise<PutSnapshotResponse>;

  constructor() {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(LogService.method.putSnapshot);
    const { promise, resolve, reject } = Promise.withResolvers<PutSnapshotResponse>();
    this.answer = promise;
    promise.catch(() => {});
    this.#stream = one.client.makeClientStreamRequest(
      path,
      requestSerialize as (message: PutSnapshotRequest) => Buffer,
      responseDeserialize as (bytes: Buffer) => PutSnapshotResponse,
      (error, response) => (error === null && response !== undefined ? resolve(response) : reject(error)),
    );
    this.#stream.on("error", () => {});
  }

  write(part: Part): void {
    this.#stream.write(create(PutSnapshotRequestSchema, { part }));
  }

  cancel(): void {
    this.#stream.cancel();
  }

  finish(): Promise<PutSnapshotResponse> {
    this.#stream.end();
    return this.answer;
  }
}

function put(sent: readonly Part[]): Promise<PutSnapshotResponse> {
  const stream = new Put();
  for (const part of sent) stream.write(part);
  return stream.finish();
}

function parts(index: number, state: Buffer, { format = "kv/1" } = {}): Part[] {
  const chunks: Part[] = [];
  for (let at = 0; at < state.length; at += MIB) {
    chunks.push({ case: "chunk", value: Uint8Array.from(state.subarray(at, at + MIB)) });
  }
  return [
    { case: "header", value: { index: BigInt(index), format } },
    ...chunks,
    { case: "sha256", value: Uint8Array.from(sha256(state)) },
  ];
}

async function get(formats: string[] = []) {
  const received = new Received(openServerStream(one.client, LogService.method.getSnapshot, { formats }));
  expect(await received.end()).toMatchObject({ code: status.OK });
  const [first, ...others] = received.messages.map(({ part }) => part);
  const chunks = others.map((part) => (part.case === "chunk" ? part.value : Buffer.alloc(0)));
  return { header: first?.case === "header" ? first.value : undefined, state: Buffer.concat(chunks) };
}

async function getFails(formats: string[]) {
  return new Received(openServerStream(one.client, LogService.method.getSnapshot, { formats })).end();
}

async function propose(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await call(one.client, LogService.method.propose, { command: Buffer.from("x") });
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function files(): string[] {
  return readdirSync(join(folder, "snapshots"));
}
