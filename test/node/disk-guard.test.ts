import { describe, expect, it } from "vitest";
import type { DiskStatus } from "../../src/node/api.ts";
import { DiskGuard } from "../../src/node/disk-guard.ts";
import { LIMIT_BYTES, TOTAL_BYTES } from "../simulation/disk.ts";
import { Subscriber } from "../simulation/subscriber.ts";
import { HeldStorage } from "./support.ts";
import { commandsOn, commit, leaderOf, NEVER, newWorld, nodeOf, propose, readIndex, threeOf } from "./world.ts";

/** A guard of a disk that has so much free, one measurement after the other; and what it said at each change. */
function guardOf(limitBytes: number) {
  const storage = new HeldStorage();
  const events: boolean[] = [];
  const guard = new DiskGuard(storage, ({ low }: DiskStatus) => events.push(low));
  const measure = (...free: readonly number[]): boolean[] =>
    free.map((freeBytes) => {
      storage.onUsage({ freeBytes, limitBytes, totalBytes: 10_000, usedBytes: 50 });
      return guard.refusal !== undefined;
    });
  return { guard, events, measure };
}

describe("a disk", () => {
  it("is low below the limit, and until an eighth more is free: it doesn't go to and fro, and says each change once", () => {
    const { events, measure } = guardOf(800);
    expect(measure(801, 800, 799, 0, 800, 899)).toEqual([false, false, true, true, true, true]);
    expect(events).toEqual([true]);
    expect(measure(900, 899, 800)).toEqual([false, false, false]);
    expect(events).toEqual([true, false]);
    expect(measure(799)).toEqual([true]);
    expect(events).toEqual([true, false, true]);
  });

  it("is never low with a limit of 0, nor before it was measured", () => {
    const { guard, events, measure } = guardOf(0);
    expect({ refusal: guard.refusal, status: guard.status }).toEqual({ refusal: undefined, status: undefined });
    expect(measure(0, 1)).toEqual([false, false]);
    expect(events).toEqual([]);
  });

  it("that is low is refused with what is free, what the limit is, and when to try again", () => {
    const { guard, measure } = guardOf(800);
    measure(7);
    expect(guard.refusal).toMatchObject({
      reason: "DISK_LOW",
      retryAfterMs: 1_000,
      metadata: { free_bytes: "7", limit: "800" },
    });
    expect(guard.status).toEqual({ freeBytes: 7, limitBytes: 800, totalBytes: 10_000, usedBytes: 50, low: true });
  });
});

/** As a client that may propose it again. */
const named = (sequence: number) => ({ conditions: { id: { clientId: "c", sequence }, expectedTerm: 0 } });

describe("a leader whose disk is low", () => {
  it("appends nothing that is proposed, through whichever node, and goes on by itself once there is room", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    commit(world, leader, "before");
    leader.setFreeBytes(LIMIT_BYTES - 1);
    const { last } = nodeOf(leader).state();
    const calls = [leader, follower].flatMap((host) => [
      propose(host, "bare"),
      propose(host, "named", named(1)),
      propose(host, "in order", { ordered: true }),
    ]);
    world.run(1_000);
    expect(calls.map(({ answers }) => answers)).toEqual(Array(6).fill(["DISK_LOW"]));
    expect(nodeOf(leader).state().last).toBe(last);
    leader.setFreeBytes(TOTAL_BYTES);
    commit(world, leader, "after");
    commit(world, follower, "and after");
    world.run(1_000);
    expect(world.hosts.map(commandsOn)).toEqual(Array(3).fill(["before", "after", "and after"]));
  });

  it("commits what it has appended, leads on, answers reads, feeds subscribers, and is ready", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    const services = [leader, follower].map((host, i) => {
      const service = new Subscriber(world, `service ${i}`);
      service.subscribe(host);
      return service;
    });
    const appended = propose(leader, "appended");
    world.runUntil(() => nodeOf(leader).state().last > nodeOf(leader).state().commit, 1_000);
    leader.setFreeBytes(0);
    const { term } = nodeOf(leader).state();
    world.run(10_000);
    const [index = 0] = appended.answers;
    expect(index).toBeGreaterThan(1);
    const reads = [leader, follower].map((host) => readIndex(host));
    world.run(1_000);
    expect(reads.map(({ answers }) => answers)).toEqual([[index], [index]]);
    expect(services.map(({ position }) => position)).toEqual([index, index]);
    expect(nodeOf(leader).state()).toMatchObject({ role: "leader", term });
    expect(nodeOf(leader).status()).toMatchObject({ notReadyReason: "", disk: { low: true } });
  });

  it("answers the retry of what the log holds with its place", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    const first = propose(leader, "once", named(1));
    world.run(1_000);
    leader.setFreeBytes(0);
    const retries = [leader, follower].map((host) => propose(host, "once", named(1)));
    const next = propose(follower, "twice", named(2));
    world.run(1_000);
    expect(retries.map(({ answers }) => answers)).toEqual([first.answers, first.answers]);
    expect(next.answers).toEqual(["DISK_LOW"]);
  });

  it("is followed by another leader when it dies, and by one whose disk is as low: nothing but proposals waits for room", () => {
    const world = newWorld();
    const leader = leaderOf(world);
    commit(world, leader, "before");
    for (const host of world.hosts) host.setFreeBytes(0);
    leader.crash(NEVER);
    const next = leaderOf(world);
    expect(next).not.toBe(leader);
    const refused = propose(next, "refused");
    leader.start();
    world.run(5_000);
    expect(refused.answers).toEqual(["DISK_LOW"]);
    // The log's identity, "before", and a no-op of each term.
    const { last } = nodeOf(next).state();
    expect(world.hosts.map((host) => nodeOf(host).state().applied)).toEqual(Array(3).fill(last));
    // What a process is told when it starts.
    expect(nodeOf(leader).status().disk).toMatchObject({ low: true, freeBytes: 0 });
  });
});

describe("a follower whose disk is low", () => {
  it("acknowledges as long as it has room, and hands on what is proposed through it", () => {
    const world = newWorld();
    const [, follower, other] = threeOf(world);
    follower.setFreeBytes(0);
    // Nothing commits without it.
    other.crash(NEVER);
    const [index = 0] = commit(world, follower, "through it");
    expect(follower.directory.log.lastIndex).toBeGreaterThanOrEqual(index);
    expect(nodeOf(follower).status().disk?.low).toBe(true);
  });
});
