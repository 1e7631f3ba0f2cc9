import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  AppendEntriesRequestSchema,
  ForwardRequestSchema,
  HandshakeSchema,
  RequestVoteRequestSchema,
} from "../../gen/raft/v1/raft_pb.js";
import type { NodeState } from "../support/client.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { handshakeOf, identitiesOf, type MemberIdentity } from "./members.ts";
import { delimited } from "./messages.ts";
import { type CallEnd, framed, openSession, RawCall } from "./raw-call.ts";

/** Three nodes, and a program with everything that one of them has but its disk: it is accepted, and lies. */
const APPEND = "/raft.v1.RaftService/AppendEntries";
const FORWARD = "/raft.v1.RaftService/Forward";
const VOTE = "/raft.v1.RaftService/RequestVote";

type AppendInit = MessageInitShape<typeof AppendEntriesRequestSchema>;

let cluster: Cluster;
/** The liar says that it is one of the followers, to the other one. */
let follower: ClusterNode;
let liar: MemberIdentity;
let members: readonly MemberIdentity[];

beforeAll(async () => {
  cluster = await Cluster.create({ size: 3 });
  const first = await cluster.leader();
  await first.commit("in the first term");
  // Terms below the present one have to be there.
  await first.kill();
  const leader = await cluster.leader(cluster.others(first));
  await leader.commit("in a later term");
  await first.start();
  await cluster.allApplied((await leader.commit("before the lies")).index);
  members = await identitiesOf(leader.client);
  const [one, two] = cluster.others(leader);
  const played = members.find(({ id }) => id === two?.id);
  if (one === undefined || played === undefined) throw new Error("there are two followers");
  follower = one;
  liar = played;
});

afterAll(closeClusters);

function introduction(changes: Partial<MemberIdentity> = {}) {
  const addressee = members.find(({ id }) => id === follower.id);
  if (addressee === undefined) throw new Error("the follower is a member");
  return handshakeOf({ ...liar, ...changes }, addressee, members);
}

/** Sends `messages` on a stream that begins with a handshake, then ends it. */
async function append(...messages: readonly AppendInit[]): Promise<CallEnd> {
  const all = [{ handshake: introduction() }, ...messages];
  const bytes = all.map((one) => toBinary(AppendEntriesRequestSchema, create(AppendEntriesRequestSchema, one)));
  return send(APPEND, Buffer.concat(bytes.map((one) => framed(one))));
}

async function send(path: string, body: Uint8Array): Promise<CallEnd> {
  const session = openSession(follower.peerAddress);
  const call = new RawCall(session, path);
  call.stream.resume();
  call.stream.end(body);
  const end = await call.ended;
  session.destroy();
  return end;
}

async function stateOf(node: ClusterNode): Promise<NodeState> {
  const state = await node.state();
  if (state === undefined) throw new Error(`${node.id} is down`);
  return state;
}

/** Runs `lie`, and then sees that term, leader and log are what they were and that the cluster commits. */
async function changesNothing(lie: () => Promise<void>): Promise<void> {
  const before = await stateOf(follower);
  await lie();
  expect(await stateOf(follower)).toEqual(before);
  const { index, term } = await follower.client.propose("after a lie");
  expect(term).toBe(before.term);
  await cluster.allApplied(index);
  for (const node of cluster.nodes) expect(node.isRunning).toBe(true);
}

const entry = (index: number, term: number, type = 1) => ({
  index: BigInt(index),
  term: BigInt(term),
  type,
  command: Buffer.from("a lie"),
});

describe("a member that lies", () => {
  it("replays and reorders the requests of an earlier term in vain", async () => {
    const heard = [1n, 2n, 3n].map((sequence) => ({ term: 1n, leaderId: liar.id, sequence }));
    const [one, two, three] = heard;
    await changesNothing(async () => {
      for (const order of [heard, heard, [three, one, two], [two, two, two]]) {
        expect((await append(...order.flatMap((request) => request ?? []))).code).toBe(status.OK);
      }
    });
  });

  it("overwrites nothing with entries of an earlier term, committed or not, with a commit index ahead", async () => {
    await changesNothing(async () => {
      const request = { term: 1n, leaderId: liar.id, sequence: 9n, leaderCommit: 1_000n };
      expect((await append({ ...request, entries: [entry(1, 1), entry(2, 1)] })).code).toBe(status.OK);
    });
  });

  it.each<[string, AppendInit]>([
    ["a term that no elections explain", { term: 2n ** 33n }],
    ["the highest term that counts", { term: 2n ** 52n }],
    ["a term near 2^53", { term: 2n ** 53n - 1n }],
    ["the term 2^64 - 1", { term: 2n ** 64n - 1n }],
    ["an entry of a term above the request's own", { term: 1n, entries: [entry(1, 2)] }],
    ["a previous entry of a term above the request's own", { term: 1n, prevLogIndex: 1n, prevLogTerm: 2n }],
    ["entries with a gap", { term: 1n, entries: [entry(1, 1), entry(3, 1)] }],
    ["entries whose terms fall", { term: 5n, entries: [entry(1, 5), entry(2, 4)] }],
    ["an entry of an unknown type", { term: 1n, entries: [entry(1, 1, 9)] }],
    ["a commit index of 2^64 - 1", { term: 1n, leaderCommit: 2n ** 64n - 1n }],
    ["the sequence 0", { term: 1n, sequence: 0n }],
    ["another leader's name", { term: 1n, leaderId: "n9" }],
  ])("is refused with %s, and nothing of it is adopted", async (_what, request) => {
    await changesNothing(async () => {
      const end = await append({ leaderId: liar.id, sequence: 1n, ...request });
      expect(end).toMatchObject({ code: status.INVALID_ARGUMENT, failure: { reason: "INVALID_ARGUMENT" } });
    });
  });

  it("gets no second handshake: the stream ends, whoever it says that it is", async () => {
    await changesNothing(async () => {
      const again = await append({ handshake: introduction() });
      expect(again.code).toBe(status.INVALID_ARGUMENT);
      const other = await append({ handshake: introduction({ id: "n9" }), term: 1n, leaderId: "n9", sequence: 1n });
      expect(other.code).toBe(status.INVALID_ARGUMENT);
      const bytes = toBinary(ForwardRequestSchema, create(ForwardRequestSchema, { handshake: introduction() }));
      const forwarded = await send(FORWARD, Buffer.concat([framed(bytes), framed(bytes)]));
      expect(forwarded.code).toBe(status.INVALID_ARGUMENT);
    });
  });

  it("deposes no leader that is heard, by votes or by pre-votes", async () => {
    const { term } = await stateOf(follower);
    await changesNothing(async () => {
      for (const preVote of [true, false]) {
        const asked = { term: BigInt(term + 1), candidateId: liar.id, lastLogIndex: 2n ** 40n, preVote };
        const request = { ...asked, lastLogTerm: BigInt(term), handshake: introduction() };
        const call = new RawCall(openSession(follower.peerAddress), VOTE, { "grpc-timeout": "500m" });
        await call.finish(toBinary(RequestVoteRequestSchema, create(RequestVoteRequestSchema, request)));
      }
    });
  });

  it.each<[string, Partial<MemberIdentity>, string]>([
    ["another cluster", { clusterId: "other" }, "CLUSTER_MISMATCH"],
    ["another log", { logId: Buffer.alloc(16, 1) }, "LOG_EPOCH_MISMATCH"],
    ["another data directory", { incarnation: Buffer.alloc(16, 9) }, "INCARNATION_MISMATCH"],
    ["nobody we know", { id: "n9" }, "UNKNOWN_PEER"],
  ])("is refused once it says that it is of %s", async (_what, changes, reason) => {
    await changesNothing(async () => {
      const handshake = introduction(changes);
      const bytes = toBinary(AppendEntriesRequestSchema, create(AppendEntriesRequestSchema, { handshake }));
      expect((await send(APPEND, framed(bytes))).failure?.reason).toBe(reason);
    });
  });

  it("fills no log with refusals, under however many names it comes", async () => {
    await changesNothing(async () => {
      const session = openSession(follower.peerAddress);
      for (let i = 0; i < 300; i++) {
        const handshake = introduction({ id: `x${i}` });
        const bytes = toBinary(AppendEntriesRequestSchema, create(AppendEntriesRequestSchema, { handshake }));
        expect((await new RawCall(session, APPEND).finish(bytes)).failure?.reason).toBe("UNKNOWN_PEER");
      }
      session.destroy();
    });
    const lines = follower.process.events("refused a peer").filter(({ peer }) => String(peer).startsWith("x"));
    expect(lines.length).toBeLessThan(100);
  });

  it("names itself in bytes that are no UTF-8, and is a stranger", async () => {
    const handshake = Buffer.from(toBinary(HandshakeSchema, introduction()));
    const at = handshake.indexOf(liar.id);
    handshake[at] = 0xff;
    const end = await send(APPEND, framed(delimited(8, handshake)));
    expect([status.INVALID_ARGUMENT, status.PERMISSION_DENIED]).toContain(end.code);
  });
});
