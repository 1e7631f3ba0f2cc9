import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { ApplyHub } from "../../src/apply/hub.ts";
import { NO_SNAPSHOTS } from "../apply/support.ts";
import type { Host } from "../simulation/host.ts";
import { Subscriber } from "../simulation/subscriber.ts";
import type { World } from "../simulation/world.ts";
import { type Call, commandsOn, leaderOf, newWorld, nodeOf, propose, regularly, threeOf } from "./world.ts";

const STALLED = 50;
const MIB = 1024 * 1024;

/** What the hub may keep for subscribers that come to the same place, and a batch on its way. */
const KEPT_BYTES = 8 * MIB + MIB;

/** For how long a subscriber may lack what was acknowledged: an election, and the news of what it committed. */
const LAG_ROUNDS = 100;

describe("fifty stalled subscribers", () => {
  it("delay neither commits nor other subscribers, over elections and load, and miss nothing later (PITFALL 49)", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    const stalled = [leader, follower].flatMap((host) => stall(world, host));
    const live = world.hosts.map((host) => new Subscriber(world, `the live one of ${host.id}`));
    const lags: string[] = [];
    const acknowledged: number[] = [];
    let open: Call[] = [];
    let commits = 0;
    regularly(world, 20, 16_000, (round) => {
      for (const [i, host] of world.hosts.entries()) {
        if (live[i]?.process === undefined) live[i]?.subscribe(host);
        open.push(propose(host, `${round} at ${host.id}`));
      }
      const indexes = open.flatMap(({ answers }) => answers).filter((answer) => typeof answer === "number");
      open = open.filter(({ answers }) => answers.length === 0);
      commits += indexes.length;
      acknowledged.push(Math.max(acknowledged.at(-1) ?? 0, ...indexes));
      const due = acknowledged.at(-LAG_ROUNDS) ?? 0;
      for (const { position, process } of live) {
        if (process !== undefined && position < due) lags.push(`${process.host.id}: ${position} < ${due}`);
      }
      // Every other leader stands still and comes back with all its subscribers; the others are asked to go.
      if (round % 300 === 150) world.leader?.host.pause(1_500);
      if (round % 300 === 299) world.leader?.drain(200);
    });
    expect(lags).toEqual([]);
    expect(world.properties.elections).toBeGreaterThan(4);
    expect(commits).toBeGreaterThan(1_200);
    world.run(5_000);
    const { last } = nodeOf(leaderOf(world)).state();
    for (const { subscriber } of stalled) {
      expect(subscriber.position).toBeLessThan(last);
      subscriber.release();
      // No node takes all of them.
      if (subscriber.process === undefined) world.hosts.some((host) => subscriber.subscribe(host));
    }
    world.run(5_000);
    for (const { subscriber, got } of stalled) {
      expect(subscriber.position).toBe(last);
      expect(got.length).toBe(commandsOn(leader).length);
    }
  });

  it("keep no more of the log in memory than a few batches, however much is committed (PITFALL 49)", async () => {
    const world = newWorld({ node: { cacheBytes: MIB } });
    const [leader] = threeOf(world);
    const { process } = leader;
    if (process === undefined) throw new Error("the leader runs");
    const encoded: WeakRef<Buffer>[] = [];
    const hub = new ApplyHub({
      log: process.node,
      encode: (_prev, _last, frames) => {
        const bytes = Buffer.concat(frames.map((frame) => frame.bytes));
        encoded.push(new WeakRef(bytes));
        return bytes;
      },
      clock: leader.clock.port((task) => process.run(task)),
      snapshots: NO_SNAPSHOTS,
      maxSubscribers: STALLED + 1,
      progressIntervalMs: 1_000,
    });
    const unasked: Buffer[] = [];
    let sentBytes = 0;
    const start = { afterIndex: 0, afterTerm: 0, logId: new Uint8Array(0), formats: [] };
    const sink = { progress: () => {}, snapshot: () => {}, chunk: () => {}, end: () => {} };
    hub.add(start, { ...sink, ready: true, batch: ({ length }) => (sentBytes += length) });
    // Each takes one batch more than the one before it, and nothing after that.
    for (let takes = 0; takes < STALLED; takes++) {
      let taken = 0;
      hub.add(start, {
        ...sink,
        get ready() {
          return taken < takes;
        },
        batch: (bytes) => {
          // What comes all the same has to wait somewhere.
          if (taken >= takes) unasked.push(bytes);
          taken++;
        },
      });
    }
    const command = "x".repeat(MIB / 8);
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < 8; i++) propose(leader, command);
      world.run(50);
    }
    expect(sentBytes).toBeGreaterThan(40 * MIB);
    await setImmediate();
    collectGarbage();
    const kept = encoded.reduce((sum, ref) => sum + (ref.deref()?.length ?? 0), 0);
    expect(kept).toBeLessThanOrEqual(KEPT_BYTES);
    expect(unasked).toEqual([]);
    hub.close();
  });
});

/** As many subscribers that take a little, each at another time, and then nothing. */
function stall(world: World, host: Host): { subscriber: Subscriber; got: number[] }[] {
  return Array.from({ length: STALLED }, (_, i) => {
    const got: number[] = [];
    const subscriber = new Subscriber(world, `stalled ${i} of ${host.id}`, (index) => got.push(index));
    subscriber.subscribe(host);
    world.scheduler.in(40 * i, () => subscriber.stall());
    return { subscriber, got };
  });
}

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const gc: () => void = runInNewContext("gc");
  gc();
}
