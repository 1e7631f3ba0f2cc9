import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LogService, type ProposeResult, ProposeStreamRequestSchema, Role } from "../../gen/raft/v1/log_pb.js";
import { failureFrom } from "../../src/grpc/status.ts";
import {
  call,
  eventually,
  failureOf,
  MAX_COMMAND_BYTES,
  makeFolder,
  openBidi,
  openServerStream,
  Received,
  removeFolder,
  startNode,
  type TestNode,
} from "./support.ts";

let folder: string;
let sidecar: TestNode;

beforeAll(async () => {
  folder = await makeFolder();
  sidecar = await startNode({ dataDir: folder });
  await eventually(() => sidecar.node.status().notReadyReason === "", "ready");
});

afterAll(async () => {
  await sidecar.stop();
  await removeFolder(folder);
});

const command = (text: string): Uint8Array => Buffer.from(text);

describe("Propose", () => {
  it("answers with the index and the term once the command is committed", async () => {
    const first = await call(sidecar.client, LogService.method.propose, { command: command("a") });
    const second = await call(sidecar.client, LogService.method.propose, { command: command("b") });
    expect(second.index).toBeGreaterThan(first.index);
    expect(second.term).toBe(BigInt(sidecar.node.state().term));
    expect(BigInt(sidecar.node.state().commit)).toBeGreaterThanOrEqual(second.index);
  });

  it.each([
    ["an empty command", 0],
    ["a command above the limit", MAX_COMMAND_BYTES + 1],
  ])("refuses %s with the field's name", async (_what, length) => {
    const error = await failureOf(call(sidecar.client, LogService.method.propose, { command: new Uint8Array(length) }));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(failureFrom(error)?.violations[0]?.field).toBe("command");
    expect(error.metadata.get("raft-term")).toEqual([String(sidecar.node.state().term)]);
    expect(error.metadata.get("raft-leader-id")).toEqual(["n1"]);
  });

  it("takes a command of exactly the limit", async () => {
    await call(sidecar.client, LogService.method.propose, { command: new Uint8Array(MAX_COMMAND_BYTES) });
  });

  it("answers bytes that are no message with INVALID_ARGUMENT", async () => {
    const error = await new Promise<{ code: number } | null>((resolve) => {
      sidecar.client.makeUnaryRequest(
        "/raft.v1.LogService/Propose",
        (bytes: Buffer) => bytes,
        (bytes) => bytes,
        Buffer.from([0x0a, 0x7f]),
        (failed) => resolve(failed),
      );
    });
    expect(error?.code).toBe(status.INVALID_ARGUMENT);
  });
});

describe("ReadIndex and GetState", () => {
  it("the barrier covers everything acknowledged before", async () => {
    const { index } = await call(sidecar.client, LogService.method.propose, { command: command("a") });
    const barrier = await call(sidecar.client, LogService.method.readIndex, {});
    expect(barrier.index).toBeGreaterThanOrEqual(index);
    expect(barrier.term).toBe(BigInt(sidecar.node.state().term));
  });

  it("tells the node's state", async () => {
    const state = await call(sidecar.client, LogService.method.getState, {});
    expect(state).toMatchObject({ id: "n1", role: Role.LEADER, leaderId: "n1", firstIndex: 1n });
    expect(state.leaderAddress).toBe(sidecar.listener.addresses[0]);
    expect(state.appliedIndex).toBeLessThanOrEqual(state.commitIndex);
  });
});

describe("WatchState", () => {
  it("tells the present state at once, with the index of the leader's no-op", async () => {
    const stream = openServerStream(sidecar.client, LogService.method.watchState, {});
    const [event] = await new Received(stream).until((events) => events.length > 0);
    expect(event).toMatchObject({ role: Role.LEADER, leaderId: "n1" });
    expect(event?.leaderIndex).toBeGreaterThan(0n);
    expect(event?.number).toBeGreaterThan(0n);
    stream.cancel();
  });
});

describe("ProposeStream", () => {
  const items = (first: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({ requestId: BigInt(first + i), command: command(`c${first + i}`) }));

  it("commits the items in the order in which they were sent, and answers each once", async () => {
    const stream = openBidi(sidecar.client, LogService.method.proposeStream);
    const received = new Received(stream);
    for (let i = 0; i < 20; i++) stream.write(create(ProposeStreamRequestSchema, { items: items(i * 50, 50) }));
    stream.end();
    expect((await received.end()).code).toBe(status.OK);
    const results = received.messages.flatMap((message) => message.results);
    expect(results).toHaveLength(1_000);
    expect(received.messages.length).toBeLessThan(1_000);
    const byRequest = results.toSorted((a, b) => Number(a.requestId - b.requestId)).map(committedIndex);
    for (const [i, index] of byRequest.entries()) {
      if (i > 0) expect(index).toBeGreaterThan(byRequest[i - 1] ?? 0n);
    }
  });

  it("refuses bad items alone, and goes on with the others", async () => {
    const stream = openBidi(sidecar.client, LogService.method.proposeStream);
    const received = new Received(stream);
    const request = {
      items: [
        { requestId: 0n, command: command("good") },
        { requestId: 1n, command: new Uint8Array(0) },
        { requestId: 2n, command: command("good, too") },
      ],
    };
    stream.write(create(ProposeStreamRequestSchema, request));
    await received.until((messages) => messages.flatMap((message) => message.results).length === 3);
    const results = received.messages.flatMap((message) => message.results);
    const reasons = results.map(({ requestId, outcome }) =>
      outcome.case === "error" ? `${requestId} ${outcome.value.reason}` : `${requestId} committed`,
    );
    expect(reasons.toSorted()).toEqual(["0 committed", "1 INVALID_ARGUMENT", "2 committed"]);
    stream.write(create(ProposeStreamRequestSchema, { items: items(0, 1) }));
    await received.until((messages) => messages.flatMap((message) => message.results).length === 4);
    stream.end();
    expect((await received.end()).code).toBe(status.OK);
  });

  it("gives no id two results: a message that repeats one is not proposed, and ends the stream", async () => {
    const stream = openBidi(sidecar.client, LogService.method.proposeStream);
    const received = new Received(stream);
    stream.write(create(ProposeStreamRequestSchema, { items: items(0, 3) }));
    stream.write(create(ProposeStreamRequestSchema, { items: [...items(10, 1), ...items(11, 1), ...items(10, 1)] }));
    expect((await received.end()).code).toBe(status.INVALID_ARGUMENT);
    const results = received.messages.flatMap((message) => message.results);
    expect(results.map(({ requestId }) => Number(requestId)).toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
  });

  it("does so for an id of an earlier message that has no answer yet", async () => {
    const stream = openBidi(sidecar.client, LogService.method.proposeStream);
    const received = new Received(stream);
    // Written at once, they are read at once.
    for (const first of [0, 10, 2]) stream.write(create(ProposeStreamRequestSchema, { items: items(first, 3) }));
    expect((await received.end()).code).toBe(status.INVALID_ARGUMENT);
    const results = received.messages.flatMap((message) => message.results);
    const ids = results.map(({ requestId }) => Number(requestId)).toSorted((a, b) => a - b);
    expect(ids).toEqual([0, 1, 2, 10, 11, 12]);
  });

  it("is ended with INVALID_ARGUMENT for a message out of bounds, after everything before it is answered", async () => {
    const stream = openBidi(sidecar.client, LogService.method.proposeStream);
    const received = new Received(stream);
    stream.write(create(ProposeStreamRequestSchema, { items: items(0, 100) }));
    stream.write(create(ProposeStreamRequestSchema, {}));
    expect((await received.end()).code).toBe(status.INVALID_ARGUMENT);
    expect(received.messages.flatMap((message) => message.results)).toHaveLength(100);
  });

  it("answers everything over its bound of items in flight", async () => {
    const stream = openBidi(sidecar.client, LogService.method.proposeStream);
    const received = new Received(stream);
    for (let i = 0; i < 10; i++) stream.write(create(ProposeStreamRequestSchema, { items: items(i * 2_000, 2_000) }));
    stream.end();
    expect((await received.end()).code).toBe(status.OK);
    const results = received.messages.flatMap((message) => message.results);
    expect(results.filter(({ outcome }) => outcome.case === "committed")).toHaveLength(20_000);
  });
});

function committedIndex({ outcome }: ProposeResult): bigint {
  if (outcome.case !== "committed") throw new Error(`not committed: ${outcome.value?.reason}`);
  return outcome.value.index;
}
