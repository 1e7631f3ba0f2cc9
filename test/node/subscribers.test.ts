import { describe, expect, it } from "vitest";
import { decodeEntries } from "../../src/frame/codec.ts";
import type { Host } from "../simulation/host.ts";
import { Subscriber } from "../simulation/subscriber.ts";
import type { World } from "../simulation/world.ts";
import {
  type Call,
  commandsOn,
  commit,
  isolate,
  LONGEST_MS,
  leaderOf,
  newWorld,
  nodeOf,
  others,
  propose,
  regularly,
  threeOf,
} from "./world.ts";

/** A subscriber that holds every stream to what is promised, and what it has been sent over all of them. */
function subscriberOf(world: World, name: string): { subscriber: Subscriber; got: [number, string][] } {
  const got: [number, string][] = [];
  const subscriber = new Subscriber(world, name, (index, frame) => {
    got.push([index, Buffer.from(decodeEntries(frame.bytes)[0]?.command ?? []).toString()]);
  });
  return { subscriber, got };
}

describe("a subscriber that resumes on another node after each change of leader", () => {
  const changes: [string, (world: World, leader: Host) => void][] = [
    ["crashes", (_, leader) => leader.crash(1_500)],
    ["is cut off with what it has appended", (world, leader) => isolateFor(world, leader, 1_500)],
    ["drains", (_, leader) => leader.process?.drain(500)],
    ["stands still", (_, leader) => leader.pause(1_500)],
  ];
  it.each(changes)("sees every command once, in one order, where the leader %s (PITFALLS 46, 47)", (_, change) => {
    for (const seed of [1, 2, 3]) {
      const world = newWorld({ seed });
      const [moving, staying] = [subscriberOf(world, "the moving one"), subscriberOf(world, "the staying one")];
      const calls = new Map<string, Call>();
      for (let round = 0; round < 6; round++) {
        const leader = leaderOf(world);
        // At the leader itself, so that it has all that the leader has told anybody.
        expect(moving.subscriber.subscribe(leader)).toBe(true);
        if (staying.subscriber.process === undefined) staying.subscriber.subscribe(others(world, leader)[0] ?? leader);
        regularly(world, 20, 1_000, (n) => {
          for (const host of world.hosts) {
            const command = `${round}.${n} at ${host.id}`;
            calls.set(command, propose(host, command));
          }
          if (n === 25) change(world, leader);
          if (n === 30) moving.subscriber.subscribe(others(world, leader)[round % 2] ?? leader);
        });
        world.run(2 * LONGEST_MS);
      }
      world.run(10_000);
      const leader = leaderOf(world);
      for (const { subscriber } of [moving, staying]) subscriber.subscribe(leader);
      world.run(1_000);
      expect(world.properties.elections).toBeGreaterThan(5);
      expect(moving.got.map(([, command]) => command)).toEqual(commandsOn(leader));
      expect(staying.got).toEqual(moving.got);
      const places = new Map(moving.got.map(([index, command]) => [command, index]));
      expect(places.size).toBe(moving.got.length);
      for (const [command, { answers }] of calls) {
        if (typeof answers[0] === "number") expect(places.get(command)).toBe(answers[0]);
      }
    }
  });
});

describe("a subscriber that has more than the node that it comes to", () => {
  it("waits, and gets exactly the rest once the node has it (PITFALL 47)", () => {
    const world = newWorld();
    const [leader, lagging] = threeOf(world);
    const { subscriber, got } = subscriberOf(world, "the subscriber");
    isolate(world, lagging);
    subscriber.subscribe(leader);
    const before = commit(world, leader, ..."abcdefghij");
    world.run(100);
    expect(subscriber.position).toBe(before.at(-1));
    expect(subscriber.subscribe(lagging)).toBe(true);
    const after = commit(world, leader, ..."klmno");
    world.run(5_000);
    expect(nodeOf(lagging).state().applied).toBeLessThan(before[0] ?? 0);
    expect({ position: subscriber.position, got: got.length }).toEqual({ position: before.at(-1), got: 10 });
    world.network.heal();
    expect(world.runUntil(() => subscriber.position === after.at(-1), 5_000)).toBe(true);
    expect(got).toEqual([..."abcdefghijklmno"].map((command, i) => [[...before, ...after][i], command]));
    expect(subscriber.process?.host).toBe(lagging);
  });

  it("waits as well at one that has just been restarted and knows of no commit (PITFALLS 43, 47)", () => {
    const world = newWorld();
    const leader = leaderOf(world);
    const { subscriber, got } = subscriberOf(world, "the subscriber");
    subscriber.subscribe(leader);
    const before = commit(world, leader, ..."abcdefghij");
    world.run(1_000);
    for (const host of world.hosts) host.crash(1);
    world.run(2);
    expect(subscriber.subscribe(leader)).toBe(true);
    const position = before.at(-1) ?? 0;
    // What it holds may not be committed, for all that it knows.
    expect(nodeOf(leader).state()).toMatchObject({ applied: 0, last: position });
    expect(subscriber.position).toBe(position);
    const [next = 0] = commit(world, leaderOf(world), "k");
    world.run(1_000);
    expect({ position: subscriber.position, got: got.at(-1) }).toEqual({ position: next, got: [next, "k"] });
    expect(got).toHaveLength(11);
  });
});

function isolateFor(world: World, host: Host, forMs: number): void {
  isolate(world, host);
  world.scheduler.in(forMs, () => world.network.rejoin(host));
}
