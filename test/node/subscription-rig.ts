import { expect } from "vitest";
import { Failure } from "../../src/failure.ts";
import { encodeFrame } from "../../src/frame/codec.ts";
import type { ForwardedProposals } from "../../src/node/transport.ts";
import { EntryType, type Frame } from "../../src/raft/types.ts";
import type { Subscription } from "../../src/session/cursor-table.ts";
import { decodeSubscriptionOp, encodeSubscriptionOp, type SubscriptionOp } from "../../src/session/subscription.ts";
import { FollowerNode } from "./follower-node.ts";

export const TIMEOUT_MS = 500;

/** The entry at `index` of term 1. */
export function entryOf(index: number, op: SubscriptionOp): Frame {
  return encodeFrame({ index, term: 1 }, EntryType.subscription, [encodeSubscriptionOp(op)]);
}

export const openAt = (index: number, name = "s"): Frame => entryOf(index, { kind: "open", name, newCursor: 0 });

/** A follower that has applied the log to 10, where the stream of "s" is opened. Its leader is never missed. */
export function follower(): FollowerNode {
  const rig = new FollowerNode({}, { electionTimeoutMinMs: 10_000, electionTimeoutMaxMs: 19_000 });
  rig.follow(9);
  take(rig, openAt(10));
  return rig;
}

/** The entry comes, is committed, and is on the disk. */
export function take(rig: FollowerNode, ...frames: Frame[]): void {
  rig.append(frames);
  rig.settle();
}

/** What a call came to: the cursor, or the reason of a failure. */
export const outcomeOf = (result: Subscription | Failure | undefined): unknown =>
  result instanceof Failure ? result.reason : (result?.cursor ?? "removed");

export function acknowledge(rig: FollowerNode, cursor: number, generation = 10, name = "s"): unknown[] {
  const answers: unknown[] = [];
  rig.node.subscriptions.acknowledge({ name, generation, cursor }, (result) => answers.push(outcomeOf(result)));
  rig.clock.settle();
  return answers;
}

/** Ops that the node has forwarded and that weren't looked at yet. */
export function forwarded(rig: FollowerNode): SubscriptionOp[] {
  return rig.transport.forwarded
    .filter(({ request }) => request.kind === "propose")
    .map(({ request }) => decodeSubscriptionOp((request as ForwardedProposals).commands[0] ?? new Uint8Array(0)));
}

/** The leader's answer to what was forwarded last: it is committed there. */
export function commitAt(rig: FollowerNode, index: number): void {
  rig.transport.forwarded.at(-1)?.done({ kind: "committed", first: { index, term: 1 } });
  rig.clock.settle();
}

/** The leader's answer to the barrier that was forwarded last. */
export function confirmAt(rig: FollowerNode, index: number): void {
  const last = rig.transport.forwarded.at(-1);
  expect(last?.request.kind).toBe("readIndex");
  last?.done({ kind: "readIndex", index, term: 1 });
  rig.clock.settle();
}

/** A node that leads a cluster of itself. */
export function alone(): FollowerNode {
  const rig = new FollowerNode(
    { bootstrapVoters: ["a"] },
    { initialMembers: [{ id: "a", peerAddress: "a:1" }], maxProposals: 10_000, maxProposalBytes: 10_000_000 },
  );
  pass(rig, 400);
  expect(rig.node.state().role).toBe("leader");
  return rig;
}

export function pass(rig: FollowerNode, ms: number): void {
  for (let i = 0; i < ms; i += 10) {
    rig.clock.advance(10);
    rig.settle();
  }
}
