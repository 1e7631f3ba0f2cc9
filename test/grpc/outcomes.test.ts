import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, it } from "vitest";
import { LogService } from "../../gen/raft/v1/log_pb.js";
import { methodDefinition } from "../../src/grpc/definition.ts";
import { failureFrom } from "../../src/grpc/status.ts";
import { freePort } from "../support/ports.ts";
import { call, eventually, failureOf, makeFolder, removeFolder, startNode, type TestNode } from "./support.ts";

let folder: string;
let peers: Map<string, string>;
const nodes: TestNode[] = [];

beforeEach(async () => {
  folder = await makeFolder();
  peers = new Map();
  for (const id of ["n1", "n2", "n3"]) peers.set(id, `127.0.0.1:${await freePort()}`);
  nodes.push(
    ...(await Promise.all([...peers.keys()].map((id) => startNode({ id, peers, dataDir: `${folder}/${id}` })))),
  );
  await eventually(() => nodes.every(({ node }) => node.status().notReadyReason === ""), "all ready");
});

afterEach(async () => {
  for (const each of nodes.splice(0)) await each.stop();
  await removeFolder(folder);
});

const command = Buffer.from("a command");
const leaderOf = (): TestNode => nodes.find(({ id, node }) => node.state().leader === id) ?? fail("leader");

async function leaveAlone(node: TestNode): Promise<void> {
  for (const other of nodes.filter((each) => each !== node)) await other.stop();
  nodes.splice(0, nodes.length, node);
}

it("a caller's deadline ends the call with a status of gRPC's own, which says nothing of the command", async () => {
  const leader = leaderOf();
  await leaveAlone(leader);
  const { last } = leader.node.state();
  const error = await failureOf(call(leader.client, LogService.method.propose, { command }, 300));
  expect([error.code, failureFrom(error)]).toEqual([status.DEADLINE_EXCEEDED, undefined]);
  expect(leader.node.state().last).toBe(last + 1);
});

it("without a leader the caller learns within an election timeout that nothing was appended, and when to retry", async () => {
  const [node = fail("node")] = nodes.filter((each) => each !== leaderOf());
  await leaveAlone(node);
  await eventually(() => node.node.state().leader === "", "no leader");
  const { last } = node.node.state();
  const failure = failureFrom(await failureOf(call(node.client, LogService.method.propose, { command })));
  expect(failure).toMatchObject({ reason: "NO_LEADER", retryAfterMs: 500 });
  expect(node.node.state().last).toBe(last);
});

it("a caller that goes away takes nothing back", async () => {
  const leader = leaderOf();
  const { last } = leader.node.state();
  const { path, requestSerialize, responseDeserialize } = methodDefinition(LogService.method.propose);
  const request = {
    $typeName: "raft.v1.ProposeRequest",
    command,
    clientId: "",
    sequence: 0n,
    expectedTerm: 0n,
  } as const;
  const error = await new Promise<{ code: number } | null>((resolve) => {
    const going = leader.client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, resolve);
    void eventually(() => leader.node.state().last > last, "appended").then(() => going.cancel());
  });
  // It is answered before it could go away, or not at all.
  expect([undefined, status.CANCELLED]).toContain(error?.code);
  await eventually(() => leader.node.state().commit === last + 1, "committed");
});

function fail(what: string): never {
  throw new Error(`there is no ${what}`);
}
