import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import type { StateEvent } from "../../src/node/api.ts";
import { Node } from "../../src/node/node.ts";
import type { Recovered } from "../../src/storage/storage.ts";
import { appendEntries, appends, commands, diskWith, grant, rejected, requestVote } from "../support/core.ts";
import { batchOf, HeldStorage, KeptTransport, ManualClock, nodeOptions } from "./support.ts";

function startNode(recovered: Partial<Recovered> = {}, members: readonly string[] = ["a", "b", "c"]) {
  const clock = new ManualClock();
  const storage = new HeldStorage(recovered);
  const transport = new KeptTransport();
  const fatal: unknown[] = [];
  const node = new Node(nodeOptions({ initialMembers: members.map((id) => ({ id, peerAddress: `${id}:1` })) }), {
    clock,
    random: () => 0,
    storage,
    onStateEvent: () => {},
    onInstall: () => {},
    onDiskEvent: () => {},
    onRetentionEvent: () => {},
    onFatal: (error) => fatal.push(error),
  });
  node.start(transport);
  clock.settle();
  /** Lets the disk and the node come to rest. */
  const settle = (): void => {
    for (let i = 0; i < 5; i++) {
      clock.settle();
      storage.sync();
    }
    clock.settle();
  };
  return { clock, storage, transport, fatal, node, settle };
}

describe("what reaches the core", () => {
  it("before all members were met, nothing: such a node may have forgotten a vote (PITFALL 56)", () => {
    const { node, storage, transport, settle } = startNode({ bootstrapped: false });
    expect(node.onMessage(requestVote())).toBeUndefined();
    expect(node.onMessage(appendEntries({ frames: [commands(1, 1, 1)] }))).toBeUndefined();
    settle();
    expect({ sent: transport.sent, writes: storage.writes, term: node.state().term }).toEqual({
      sent: [],
      writes: [],
      term: 0,
    });
  });

  it("a term of 2^53 - 1 doesn't, and is told to who brought it (PITFALL 57)", () => {
    const { node, storage, settle } = startNode();
    expect(node.onMessage(requestVote({ term: 2 ** 53 - 1 }))).toContain("term");
    settle();
    expect({ term: node.state().term, writes: storage.writes }).toEqual({ term: 0, writes: [] });
  });
});

describe("the disk", () => {
  it("has a vote before it leaves (PITFALL 1)", () => {
    const { node, clock, storage, transport } = startNode();
    node.onMessage(requestVote({ term: 4 }));
    clock.settle();
    clock.settle();
    expect({ writes: storage.writes.length, sent: transport.sent }).toEqual({ writes: 1, sent: [] });
    storage.sync();
    clock.settle();
    expect(transport.sent).toEqual([grant(requestVote({ term: 4 }))]);
  });

  it("ends the node when it fails: it answers, sends and writes nothing any more", () => {
    const { node, clock, storage, transport, fatal } = startNode();
    const batch = batchOf(1);
    node.propose(batch);
    storage.onFailure(new Error("EIO"));
    node.onMessage(requestVote());
    clock.advance(1_000);
    expect({ fatal: fatal.length, answers: batch.answers }).toEqual({ fatal: 1, answers: ["DATA_LOSS"] });
    expect({ sent: transport.sent, writes: storage.writes }).toEqual({ sent: [], writes: [] });
  });

  it("is heard when it fails with what the node wrote last, also after the node was stopped", () => {
    const { node, storage, fatal } = startNode();
    const batch = batchOf(1);
    node.propose(batch);
    node.stop();
    storage.onFailure(new Error("EIO"));
    expect(fatal).toEqual([new Error("EIO")]);
    expect(batch.answers).toEqual(["DRAINING"]);
  });

  it("is told that what a new leader reads for a follower may be truncated meanwhile", () => {
    const { node, clock, storage, transport, settle } = startNode(diskWith([1, 1, 1]));
    clock.advance(100);
    for (const preVote of [true, false]) {
      settle();
      for (const message of transport.sent.splice(0)) {
        if (message.kind === "requestVote" && message.preVote === preVote) node.onMessage(grant(message));
      }
    }
    settle();
    for (const request of appends(transport.sent.splice(0), "b")) node.onMessage(rejected(request, 0, 0));
    settle();
    for (const request of appends(transport.sent.splice(0), "b")) {
      node.onMessage({ ...rejected(request, 0, 0), success: true, conflict: undefined });
    }
    settle();
    expect(storage.reads).toMatchObject([{ first: 1, last: 3, isCommitted: false }]);
  });
});

it("a broken invariant ends the node", () => {
  const { node, settle, fatal } = startNode(diskWith([1, 1]));
  node.onMessage(appendEntries({ prev: { index: 2, term: 1 }, leaderCommit: 2 }));
  settle();
  node.onMessage(appendEntries({ term: 2, prev: { index: 1, term: 1 }, frames: [commands(2, 1, 2)] }));
  settle();
  expect(fatal).toEqual([expect.any(InvariantError)]);
});

it("subscribers hear of all that is applied", () => {
  const { node, settle } = startNode(diskWith([1, 1, 1]));
  const heard: number[] = [];
  node.onApplied(() => heard.push(node.state().applied));
  for (const leaderCommit of [1, 3]) {
    node.onMessage(appendEntries({ prev: { index: 3, term: 1 }, leaderCommit, sequence: leaderCommit }));
    settle();
  }
  expect(heard).toEqual([1, 3]);
});

it("a node says that it leads once it has committed in its term, and not before", () => {
  const { node, clock, storage } = startNode({ bootstrapVoters: ["a"] }, ["a"]);
  const events: StateEvent[] = [];
  node.watch((event) => events.push(event));
  clock.advance(10);
  const told = () => events.map(({ role, leader, leaderIndex }) => ({ role, leader, leaderIndex }));
  const before = [
    { role: "follower", leader: "", leaderIndex: 0 },
    { role: "candidate", leader: "", leaderIndex: 0 },
  ];
  expect({ role: node.state().role, told: told() }).toEqual({ role: "leader", told: before });
  storage.sync();
  clock.settle();
  expect(told()).toEqual([...before, { role: "leader", leader: "a", leaderIndex: 1 }]);
});
