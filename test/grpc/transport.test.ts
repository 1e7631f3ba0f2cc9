import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClusterService } from "../../gen/raft/v1/cluster_pb.js";
import { LogService } from "../../gen/raft/v1/log_pb.js";
import { failureFrom } from "../../src/grpc/status.ts";
import { freePort } from "../support/ports.ts";
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

const IDS = ["n1", "n2", "n3"] as const;

let folder: string;
let peers: Map<string, string>;
const nodes = new Map<string, TestNode>();

beforeAll(async () => {
  folder = await makeFolder();
  peers = new Map();
  for (const id of IDS) peers.set(id, `127.0.0.1:${await freePort()}`);
  for (const id of IDS) nodes.set(id, await start(id));
  await eventually(() => IDS.every((id) => at(id).node.status().notReadyReason === ""), "all are ready", 20_000);
});

afterAll(async () => {
  await Promise.all([...nodes.values()].map((node) => node.stop()));
  await removeFolder(folder);
});

const start = (id: string): Promise<TestNode> => startNode({ id, peers, dataDir: `${folder}/${id}` });

function at(id: string): TestNode {
  const node = nodes.get(id);
  if (node === undefined) throw new Error(`${id} does not run`);
  return node;
}

const followers = (): TestNode[] => [...nodes.values()].filter(({ node }) => node.state().role !== "leader");

describe("three nodes over gRPC", () => {
  it("elect one leader that all of them know, with its client address", async () => {
    const states = await Promise.all(IDS.map((id) => call(at(id).client, LogService.method.getState, {})));
    const leaders = new Set(states.map((state) => state.leaderId));
    expect(leaders.size).toBe(1);
    const [leader = ""] = leaders;
    expect(new Set(states.map((state) => state.leaderAddress))).toEqual(new Set(at(leader).listener.addresses));
  });

  it("commit what is proposed to a follower, and deliver the same everywhere", async () => {
    const streams = IDS.map((id) => openServerStream(at(id).client, LogService.method.applyStream, {}));
    const received = streams.map((stream) => new Received(stream));
    let last = 0n;
    for (const { client } of [...nodes.values(), ...nodes.values()]) {
      const { index } = await call(client, LogService.method.propose, { command: Buffer.from("x") });
      expect(index).toBeGreaterThan(last);
      last = index;
    }
    const logs = await Promise.all(
      received.map(async (frames) => {
        const entries = () =>
          frames.messages.flatMap(({ frame }) => (frame.case === "batch" ? frame.value.entries : []));
        await frames.until(() => entries().at(-1)?.index === last);
        return entries();
      }),
    );
    expect(logs[0]).toHaveLength(6);
    expect(logs[1]).toEqual(logs[0]);
    expect(logs[2]).toEqual(logs[0]);
    for (const stream of streams) stream.cancel();
  });

  it("answer a read barrier on a follower with what was acknowledged before", async () => {
    const [follower, other] = followers();
    if (follower === undefined || other === undefined) throw new Error("two followers");
    const { index } = await call(other.client, LogService.method.propose, { command: Buffer.from("x") });
    const barrier = await call(follower.client, LogService.method.readIndex, {});
    expect(barrier.index).toBeGreaterThanOrEqual(index);
  });

  it("notice a member that goes away, say why, and meet it again", async () => {
    const [gone] = followers();
    if (gone === undefined) throw new Error("a follower");
    const [observer] = [...nodes.values()].filter(({ id }) => id !== gone.id);
    if (observer === undefined) throw new Error("another node");
    const connection = async () => {
      const { members } = await call(observer.client, ClusterService.method.listMembers, {});
      return members.find(({ id }) => id === gone.id);
    };
    expect(await connection()).toMatchObject({ connected: true, error: "", clientAddress: gone.listener.addresses[0] });
    await gone.stop();
    nodes.delete(gone.id);
    await eventually(() => !observer.transport.connection(gone.id).connected, "the break is noticed");
    await sleep(300);
    expect((await connection())?.error).not.toBe("");
    await call(observer.client, LogService.method.propose, { command: Buffer.from("without it") });
    nodes.set(gone.id, await start(gone.id));
    await eventually(() => observer.transport.connection(gone.id).connected, "they meet again");
    const commit = observer.node.state().commit;
    await eventually(() => at(gone.id).node.state().applied >= commit, "it catches up");
    expect([...nodes.values()].flatMap(({ fatal }) => fatal)).toEqual([]);
  });

  it("refuse a node of another cluster, which harms nobody, and both sides say so once", async () => {
    const victim = "n3";
    await at(victim).stop();
    nodes.delete(victim);
    const stranger = await startNode({ id: victim, peers, dataDir: `${folder}/stranger`, clusterId: "other" });
    await sleep(2_500);
    for (const { log } of [stranger, at("n1"), at("n2")]) {
      const refusals = log.lines.filter(({ level }) => level === "warn");
      const distinct = new Set(refusals.map((line) => JSON.stringify(line)));
      expect(refusals.length).toBeGreaterThan(0);
      expect(distinct.size).toBe(refusals.length);
    }
    expect(stranger.transport.connection("n1")).toMatchObject({ connected: false });
    expect(stranger.transport.connection("n1").error).toContain("cluster ids differ");
    expect(stranger.node.state().term).toBe(0);
    await call(at("n1").client, LogService.method.propose, { command: Buffer.from("undisturbed") });
    await stranger.stop();
    nodes.set(victim, await start(victim));
    await eventually(() => at(victim).node.status().notReadyReason === "", "the right one is back");
  });

  it("without a majority refuse with an error that says whether a retry is safe", async () => {
    for (const id of ["n2", "n3"]) {
      await at(id).stop();
      nodes.delete(id);
    }
    await eventually(() => at("n1").node.state().leader === "", "n1 has no leader any more");
    const error = await failureOf(call(at("n1").client, LogService.method.propose, { command: Buffer.from("x") }));
    expect(error.code).toBe(status.UNAVAILABLE);
    expect(failureFrom(error)?.reason).toBe("NO_LEADER");
  });
});
