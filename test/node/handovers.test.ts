import { describe, expect, it } from "vitest";
import { STALL_MS } from "../../src/apply/handover.ts";
import type { Host } from "../simulation/host.ts";
import { Subscriber } from "../simulation/subscriber.ts";
import type { World } from "../simulation/world.ts";
import { commit, isolate, leaderOf, newWorld, nodeOf, others, propose, regularly, threeOf } from "./world.ts";

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `command ${i}`);

/** The application beside `host` puts its state as of an entry, and all members pull it: their logs begin after it. */
function cutOff(world: World, host: Host, index: number, hosts: readonly Host[] = world.hosts): void {
  const { process } = host;
  if (process === undefined) throw new Error(`${host.id} runs`);
  const last = process.node.snapshots.check(index, 0);
  process.node.snapshots.add(world.shelf.put(process, last, new Map()), () => {});
  const isCut = (): boolean => hosts.every((each) => nodeOf(each).state().first > index);
  expect(world.runUntil(isCut, 60_000)).toBe(true);
}

/** Three nodes with commands, and logs that begin after the last but three. */
function cutWorld() {
  const world = newWorld({ node: { catchUpEntries: 0 } });
  const [leader, follower, other] = threeOf(world);
  const indexes = commit(world, leader, ...names(20));
  const snapshot = indexes.at(-3) ?? 0;
  world.run(500);
  cutOff(world, leader, snapshot);
  return { world, leader, follower, other, snapshot, last: indexes.at(-1) ?? 0 };
}

/** A subscriber, what it was sent, and from which snapshots it went on. Both are held against the log by itself. */
function newSubscriber(world: World) {
  const commands: number[] = [];
  const snapshots: number[] = [];
  const subscriber = new Subscriber(
    world,
    "a subscriber",
    (index) => commands.push(index),
    () => {},
    ({ last }) => snapshots.push(last.index),
  );
  return { subscriber, commands, snapshots };
}

describe("a subscriber of a log that was cut off", () => {
  it("is handed a snapshot by whichever node, and then what follows, each once (PITFALLS 46, 48)", () => {
    const { world, snapshot, last } = cutWorld();
    for (const host of world.hosts) {
      const { subscriber, commands, snapshots } = newSubscriber(world);
      subscriber.subscribe(host);
      expect(world.runUntil(() => subscriber.position === last, 1_000)).toBe(true);
      expect({ snapshots, commands }).toEqual({ snapshots: [snapshot], commands: [last - 1, last] });
    }
  });

  it("goes on after the snapshot on any node, and waits on one that lags: it never goes back (PITFALL 47)", () => {
    const { world, leader, follower, other, snapshot, last } = cutWorld();
    const { subscriber, commands, snapshots } = newSubscriber(world);
    subscriber.subscribe(follower);
    world.runUntil(() => subscriber.position === last, 1_000);
    isolate(world, other);
    const [next] = commit(world, leader, "without the other");
    world.runUntil(() => subscriber.position === next, 1_000);
    subscriber.subscribe(other);
    world.run(2_000);
    expect({ position: subscriber.position, snapshots }).toEqual({ position: next, snapshots: [snapshot] });
    world.network.heal();
    const [later] = commit(world, leaderOf(world), "with it");
    expect(world.runUntil(() => subscriber.position === later, 10_000)).toBe(true);
    expect({ snapshots, commands }).toEqual({ snapshots: [snapshot], commands: [last - 1, last, next, later] });
  });

  it("is handed one in the middle of its stream when its node's log is replaced (PITFALLS 46, 48)", () => {
    const { world, leader, other, last } = cutWorld();
    const { subscriber, commands, snapshots } = newSubscriber(world);
    subscriber.subscribe(other);
    world.runUntil(() => subscriber.position === last, 1_000);
    const before = [...commands];
    isolate(world, other);
    const indexes = commit(world, leader, ...names(20));
    const snapshot = indexes.at(-2) ?? 0;
    cutOff(world, leader, snapshot, others(world, other));
    world.network.heal();
    expect(world.runUntil(() => subscriber.position >= snapshot + 1, 20_000)).toBe(true);
    expect(snapshots.at(-1)).toBe(snapshot);
    expect(commands).toEqual([...before, snapshot + 1]);
    expect(world.counters.get("logs replaced")).toBe(1);
  });
});

describe("a subscriber that stalls in the middle of a snapshot", () => {
  it("costs nothing more, and delays nobody: commits and other subscribers go on (PITFALL 49)", () => {
    const { world, leader, follower, last } = cutWorld();
    const { subscriber, snapshots } = newSubscriber(world);
    const live = newSubscriber(world);
    live.subscriber.subscribe(leader);
    subscriber.subscribe(leader);
    expect(nodeOf(leader).snapshots.pinnedIndex).toBeLessThan(last);
    subscriber.stall();
    const lags: number[] = [];
    regularly(world, 100, 5_000, (round) => {
      const { answers } = propose(follower, `${round}`);
      world.run(50);
      lags.push(Number(answers[0]) - live.subscriber.position);
    });
    expect(lags).toEqual(new Array(50).fill(0));
    expect({ position: subscriber.position, snapshots }).toEqual({ position: 0, snapshots: [] });
    subscriber.release();
    expect(world.runUntil(() => subscriber.position === live.subscriber.position, 1_000)).toBe(true);
  });

  it("keeps the log from being cut off for a while, but not for ever (PITFALLS 41, 49)", () => {
    const { world, leader, snapshot } = cutWorld();
    const { subscriber } = newSubscriber(world);
    subscriber.subscribe(leader);
    subscriber.stall();
    const index = commit(world, leader, ...names(20)).at(-1) ?? 0;
    const { process } = leader;
    if (process === undefined) throw new Error("the leader runs");
    const last = process.node.snapshots.check(index, 0);
    process.node.snapshots.add(world.shelf.put(process, last, new Map()), () => {});
    world.run(STALL_MS - 5_000);
    expect(nodeOf(leader).state().first).toBe(snapshot + 1);
    world.run(50_000);
    expect(nodeOf(leader).state().first).toBe(index + 1);
    expect(subscriber.position).toBe(0);
  });
});

describe("proposals when a snapshot replaces a node's log", () => {
  it("get an answer each: those of a leader that was cut off, and those that come meanwhile (PITFALL 40)", () => {
    const { world, leader: old } = cutWorld();
    isolate(world, old);
    const lost = names(3).map((name) => propose(old, `lost ${name}`));
    world.run(3_000);
    const leader = leaderOf(world);
    const indexes = commit(world, leader, ...names(20));
    const rest = others(world, old);
    cutOff(world, leader, indexes.at(-1) ?? 0, rest);
    expect(lost.map(({ answers }) => answers)).toEqual(new Array(3).fill(["OUTCOME_UNKNOWN"]));
    world.network.heal();
    const isReplacing = (): boolean => nodeOf(old).state().first > nodeOf(old).state().applied + 1;
    expect(world.runUntil(isReplacing, 20_000)).toBe(true);
    old.diskFaults.hungUntilMs = world.nowMs + 200;
    const calls = names(3).map((name) => propose(old, `new ${name}`));
    world.run(100);
    expect(isReplacing()).toBe(true);
    world.run(2_000);
    expect(calls.map(({ answers }) => answers)).toEqual(new Array(3).fill([expect.any(Number)]));
    expect(nodeOf(old).state()).toMatchObject({ first: (indexes.at(-1) ?? 0) + 1, leader: leader.id });
  });
});
