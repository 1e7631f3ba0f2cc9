import { describe, expect, it } from "vitest";
import { Failure } from "../../src/failure.ts";
import { Node } from "../../src/node/node.ts";
import { batchOf, HeldStorage, KeptTransport, ManualClock, nodeOptions } from "./support.ts";

/** A follower of "b", in term 1, at default timeouts. */
function follower() {
  const clock = new ManualClock();
  const storage = new HeldStorage();
  const transport = new KeptTransport();
  const timeouts = { electionTimeoutMinMs: 400, electionTimeoutMaxMs: 800, heartbeatMs: 100, proposalTimeoutMs: 5_000 };
  const onFatal = (error: unknown): never => {
    throw error;
  };
  const node = new Node(nodeOptions({ ...timeouts, maxReads: 1_000 }), {
    clock,
    random: () => 30,
    storage,
    onStateEvent: () => {},
    onInstall: () => {},
    onDiskEvent: () => {},
    onRetentionEvent: () => {},
    onFatal,
  });
  node.start(transport);
  clock.settle();
  node.onMessage({
    kind: "appendEntries",
    from: "b",
    to: "a",
    term: 1,
    prev: { index: 0, term: 0 },
    frames: [],
    leaderCommit: 0,
    sequence: 1,
  });
  clock.settle();
  storage.sync();
  clock.settle();
  return { clock, transport, node };
}

describe("what the leader gives back", () => {
  it.each([
    ["a proposal", (node: Node) => node.propose(batchOf(1))],
    ["a barrier", (node: Node) => node.readIndex(undefined, () => {})],
  ])("is sent again after a tick, whatever else happens: %s", (_what, ask) => {
    const { clock, transport, node } = follower();
    ask(node);
    clock.settle();
    expect(transport.forwarded).toHaveLength(1);
    clock.advance(5);
    transport.forwarded[0]?.done({ kind: "failed", failure: new Failure("NOT_LEADER", "another leads") });
    clock.settle();
    // Not at once: the same node may still be believed to lead.
    expect(transport.forwarded).toHaveLength(1);
    clock.advance(10);
    expect(transport.forwarded).toHaveLength(2);
  });

  it("makes room for the barriers that wait behind as many as may be asked for", () => {
    const { clock, transport, node } = follower();
    for (let i = 0; i < 70; i++) {
      node.readIndex(undefined, () => {});
      clock.settle();
    }
    const asked = transport.forwarded.length;
    expect(asked).toBeLessThan(70);
    for (const { done } of transport.forwarded.slice()) done({ kind: "readIndex", index: 1, term: 1 });
    clock.settle();
    clock.advance(10);
    expect(transport.forwarded.length).toBeGreaterThan(asked);
  });
});
