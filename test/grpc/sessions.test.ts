import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  LogService,
  type ProposeItem,
  type ProposeRequestSchema,
  type ProposeResult,
  ProposeStreamRequestSchema,
} from "../../gen/raft/v1/log_pb.js";
import { failureFrom } from "../../src/grpc/status.ts";
import { PIPELINE } from "../../src/node/options.ts";
import { freePort } from "../support/ports.ts";
import {
  call,
  eventually,
  failureOf,
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
let nodes: TestNode[];
let leader: TestNode;
let follower: TestNode;

beforeAll(async () => {
  folder = await makeFolder();
  const peers = new Map<string, string>();
  for (const id of ["n1", "n2", "n3"]) peers.set(id, `127.0.0.1:${await freePort()}`);
  const node = { sessionLimits: { ...PIPELINE.sessionLimits, window: 4 } };
  nodes = await Promise.all([...peers.keys()].map((id) => startNode({ id, peers, dataDir: `${folder}/${id}`, node })));
  await eventually(() => nodes.every((each) => each.node.status().notReadyReason === ""), "all ready");
  const isLeader = ({ id, node: each }: TestNode): boolean => each.state().leader === id;
  leader = nodes.find(isLeader) ?? fail("a leader");
  follower = nodes.find((each) => !isLeader(each)) ?? fail("a follower");
});

afterAll(async () => {
  for (const each of nodes) await each.stop();
  await removeFolder(folder);
});

type Item = Partial<Pick<ProposeItem, "command" | "clientId" | "sequence" | "expectedTerm">>;

const command = Buffer.from("a command");
const propose = (to: TestNode, request: MessageInitShape<typeof ProposeRequestSchema>) =>
  call(to.client, LogService.method.propose, { command, ...request });
const lastIndex = (): number => leader.node.state().last;

let clients = 0;
const newClient = (): string => `client-${clients++}`;

describe("Propose with client_id and sequence", () => {
  it("answers a retry, on any node, as the first time, and says that it is one", async () => {
    const clientId = newClient();
    const first = await propose(follower, { clientId, sequence: 1n });
    expect(first.duplicate).toBe(false);
    for (const to of [leader, follower]) {
      const { index, term, duplicate } = await propose(to, { clientId, sequence: 1n });
      expect({ index, term, duplicate }).toEqual({ index: first.index, term: first.term, duplicate: true });
    }
    expect(lastIndex()).toBe(Number(first.index));
    expect(await propose(leader, { clientId, sequence: 2n })).toMatchObject({ duplicate: false });
  });

  it("takes the longest client_id and the highest sequence, and both come back on ApplyStream and ReadLog", async () => {
    const clientId = "ü".repeat(32);
    const sequence = 2n ** 53n - 1n;
    const { index } = await propose(follower, { clientId, sequence });
    const start = { case: "afterIndex", value: index - 1n } as const;
    for (const { client } of nodes) {
      const stream = openServerStream(client, LogService.method.applyStream, { start });
      const frames = await new Received(stream).until((all) => all.some(({ frame }) => frame.case === "batch"));
      stream.cancel();
      const entries = frames.flatMap(({ frame }) => (frame.case === "batch" ? frame.value.entries : []));
      expect(entries[0]).toMatchObject({ index, clientId, sequence });
    }
  });

  it("refuses a sequence that left the window, with what is still known, and appends nothing", async () => {
    const clientId = newClient();
    for (const sequence of [1n, 5n]) await propose(leader, { clientId, sequence });
    const last = lastIndex();
    for (const to of [leader, follower]) {
      const error = await failureOf(propose(to, { clientId, sequence: 1n }));
      expect(error.code).toBe(status.OUT_OF_RANGE);
      const failure = failureFrom(error);
      expect(failure?.reason).toBe("SEQUENCE_TOO_OLD");
      expect(failure?.metadata).toEqual({ client_id: clientId, sequence: "1", known_above: "1" });
    }
    expect(lastIndex()).toBe(last);
  });

  it.each([
    ["a client_id without a sequence", { clientId: "c" }, "sequence"],
    ["a sequence without a client_id", { sequence: 1n }, "client_id"],
    ["a client_id of 65 bytes", { clientId: `${"ü".repeat(32)}x`, sequence: 1n }, "client_id"],
    ["U+FFFD in a client_id", { clientId: "c\ufffd", sequence: 1n }, "client_id"],
    ["a sequence of 2^53", { clientId: "c", sequence: 2n ** 53n }, "sequence"],
    ["a sequence of 2^64 - 1", { clientId: "c", sequence: 2n ** 64n - 1n }, "sequence"],
    ["an expected_term of 2^53", { expectedTerm: 2n ** 53n }, "expected_term"],
  ])("refuses %s with the field's name", async (_what, request, field) => {
    const last = lastIndex();
    const error = await failureOf(propose(follower, request));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(failureFrom(error)?.violations.map((violation) => violation.field)).toEqual([field]);
    expect(lastIndex()).toBe(last);
  });

  it("refuses a client_id whose bytes are not UTF-8", async () => {
    const message = Buffer.concat([Buffer.from([0x0a, 1, 0x61, 0x12, 2, 0xc3, 0x28]), Buffer.from([0x18, 1])]);
    const error = await new Promise<ServiceError | null>((resolve) => {
      leader.client.makeUnaryRequest(
        "/raft.v1.LogService/Propose",
        (bytes: Buffer) => bytes,
        (bytes) => bytes,
        message,
        (failed) => resolve(failed),
      );
    });
    expect(error?.code).toBe(status.INVALID_ARGUMENT);
  });
});

describe("Propose with expected_term", () => {
  it("appends in that term only, and says which it is", async () => {
    const term = BigInt(leader.node.state().term);
    expect(await propose(follower, { expectedTerm: term })).toMatchObject({ term });
    const last = lastIndex();
    const error = await failureOf(propose(follower, { expectedTerm: term + 1n }));
    expect(error.code).toBe(status.FAILED_PRECONDITION);
    expect(failureFrom(error)).toMatchObject({
      reason: "TERM_CHANGED",
      metadata: { expected_term: String(term + 1n), term: String(term) },
    });
    expect(lastIndex()).toBe(last);
  });
});

describe("ProposeStream", () => {
  /** Sends each list as one message, and reads what each item, numbered in order, is answered. `stops` for the first ones. */
  async function answersTo(to: TestNode, messages: readonly (readonly Item[])[], stopOnError = false, stops = 99) {
    const stream = openBidi(to.client, LogService.method.proposeStream);
    const received = new Received(stream);
    let next = 0;
    for (const [i, items] of messages.entries()) {
      const numbered = items.map((item) => ({ command, ...item, requestId: BigInt(next++) }));
      stream.write(create(ProposeStreamRequestSchema, { items: numbered, stopOnError: stopOnError && i < stops }));
    }
    stream.end();
    expect((await received.end()).code).toBe(status.OK);
    const results = received.messages.flatMap((message) => message.results);
    return results.toSorted((a, b) => Number(a.requestId - b.requestId)).map(brief);
  }

  it("tells each item's failure, and goes on with the others", async () => {
    const clientId = newClient();
    for (const sequence of [1n, 9n]) await propose(leader, { clientId, sequence });
    const term = BigInt(leader.node.state().term);
    for (const [to, sequence] of [[leader, 10n] as const, [follower, 11n] as const]) {
      const items: Item[] = [
        { clientId, sequence },
        { clientId, sequence },
        { clientId, sequence: 1n },
        { expectedTerm: term + 1n },
        { clientId },
        { command: new Uint8Array() },
        { expectedTerm: term },
      ];
      expect(await answersTo(to, [items])).toEqual([
        "new",
        "duplicate",
        "SEQUENCE_TOO_OLD",
        "TERM_CHANGED",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "new",
      ]);
    }
  });

  it.each([
    ["the node refuses", { expectedTerm: 2n ** 40n }, "TERM_CHANGED"],
    ["is malformed", { clientId: "c" }, "INVALID_ARGUMENT"],
  ])("with stop_on_error appends nothing after an item that %s", async (_what, item, reason) => {
    for (const to of [leader, follower]) {
      const last = lastIndex();
      const answers = await answersTo(to, [[{}, {}], [{}, item, {}], [{}], [{}]], true);
      expect(answers).toEqual(["new", "new", "new", reason, "NOT_APPENDED", "NOT_APPENDED", "NOT_APPENDED"]);
      expect(lastIndex()).toBe(last + 3);
    }
  });

  it("with stop_on_error in one message appends nothing after a failure in that or any later one", async () => {
    const last = lastIndex();
    const answers = await answersTo(leader, [[{}], [{}, { clientId: "c" }], [{}]], true, 1);
    expect(answers).toEqual(["new", "new", "INVALID_ARGUMENT", "NOT_APPENDED"]);
    expect(lastIndex()).toBe(last + 2);
  });

  it("with stop_on_error from the second message on is not stopped by what fails of the first, however late", async () => {
    const term = BigInt(leader.node.state().term);
    for (const pauseMs of [0, 100]) {
      const stream = openBidi(leader.client, LogService.method.proposeStream);
      const received = new Received(stream);
      const send = (requestId: bigint, expectedTerm: bigint, stopOnError: boolean) =>
        stream.write(
          create(ProposeStreamRequestSchema, { items: [{ requestId, command, expectedTerm }], stopOnError }),
        );
      send(0n, term + 1n, false);
      await sleep(pauseMs);
      send(1n, term, true);
      stream.end();
      expect((await received.end()).code).toBe(status.OK);
      const results = received.messages.flatMap((message) => message.results);
      expect(results.map(brief)).toEqual(["TERM_CHANGED", "new"]);
    }
  });

  it("commits what another stream sends meanwhile, whatever became of a stream with stop_on_error", async () => {
    const stopped = answersTo(follower, [[{ expectedTerm: 2n ** 40n }, {}], [{}]], true);
    const others = Array.from({ length: 20 }, () => answersTo(follower, [[{}, {}], [{}]]));
    expect(await stopped).toEqual(["TERM_CHANGED", "NOT_APPENDED", "NOT_APPENDED"]);
    for (const answers of await Promise.all(others)) expect(answers).toEqual(["new", "new", "new"]);
  });
});

/** "new", "duplicate", or the reason of the failure. */
function brief({ outcome }: ProposeResult): string {
  if (outcome.case === "committed") return outcome.value.duplicate ? "duplicate" : "new";
  return outcome.value?.reason ?? "";
}

function fail(what: string): never {
  throw new Error(`there is no ${what}`);
}
