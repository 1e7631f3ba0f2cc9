import { describe, expect, it } from "vitest";
import { MAX_DISK_TURNS } from "../../src/node/options.ts";
import { Subscriber } from "../simulation/subscriber.ts";
import { DEFAULT_NODE, World } from "../simulation/world.ts";
import {
  commandsOn,
  commit,
  LONGEST_MS,
  leaderOf,
  NEVER,
  newWorld,
  nodeOf,
  others,
  propose,
  readIndex,
  regularly,
  threeOf,
} from "./world.ts";

const COMMANDS = Array.from({ length: 20 }, (_, i) => `${i}`);

describe("a leader that can't read what a follower lacks", () => {
  it("ends and sends nothing from then on; another brings the follower up to date (PITFALL 24)", () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const lines: string[] = [];
      const transcript = (line: string): void => {
        lines.push(line);
      };
      // With nothing kept in memory, so that whoever is behind is served from the disk.
      const world = new World({ seed, size: 3, node: { ...DEFAULT_NODE, cacheBytes: 0 }, transcript });
      world.startAll();
      const [leader, follower] = threeOf(world);
      follower.crash(NEVER);
      commit(world, leader, ...COMMANDS);
      leader.diskFaults.failNextRead = true;
      follower.start();
      expect(world.runUntil(() => world.counters.get("failed reads") === 1, 5_000)).toBe(true);
      // It is there for a moment yet, and refuses what it is asked to do.
      expect(propose(leader, "too late").answers).toEqual(["DATA_LOSS"]);
      expect(readIndex(leader).answers).toEqual(["DATA_LOSS"]);
      expect(world.runUntil(() => leader.process === undefined, 10)).toBe(true);
      expect(world.counters.get("failed disk")).toBe(1);
      const next = leaderOf(world, 5 * LONGEST_MS);
      commit(world, next, "after");
      world.run(5_000);
      expect(world.hosts.map(commandsOn)).toEqual(Array(3).fill([...COMMANDS, "after"]));
      const endAt = lines.findIndex((line) => line.includes(`${leader.id} can't go on`));
      const backAt = lines.findIndex((line, at) => at > endAt && line.includes(`${leader.id} starts`));
      expect(endAt).toBeGreaterThan(0);
      const sent = lines
        .slice(endAt, backAt)
        .filter((line) => line.includes(`  ${leader.id} -> `) && line.endsWith("leaves"));
      expect(sent).toEqual([]);
    }
  });
});

describe("a node that comes back after a crash", () => {
  // What it was given to write last it has lost. On the others' disks it may be committed long since.
  it.each(["follower", "leader"])(
    "as a %s has no less log than its service has applied, whatever was lost (PITFALL 55)",
    (role) => {
      let kept = -1;
      for (let lost = Number.POSITIVE_INFINITY; lost > 0; ) {
        kept++;
        const world = newWorld();
        const [leader, follower] = threeOf(world);
        const host = role === "leader" ? leader : follower;
        const service = new Subscriber(world, "the service");
        service.subscribe(host);
        // Longer than that would depose a leader.
        Object.assign(host.diskFaults, { minWriteMs: 250, maxWriteMs: 250, keptByCrash: kept });
        regularly(world, 60, 2_000, (round) => propose(leader, `${round}`));
        const { position } = service;
        expect(position).toBeGreaterThan(5);
        expect(nodeOf(host).state().commit).toBeGreaterThan(position);
        host.crash(NEVER);
        lost = world.counters.get("unsynced writes lost");
        expect(world.counters.get("unsynced writes kept")).toBe(kept);
        expect(host.directory.log.lastIndex).toBeGreaterThanOrEqual(position);
        host.start();
        expect(nodeOf(host).state().last).toBeGreaterThanOrEqual(position);
        service.subscribe(host);
        const [index] = commit(world, leaderOf(world), "after");
        world.run(20_000);
        expect(service.position).toBe(index);
        expect(others(world, host).map(commandsOn)).toEqual(Array(2).fill(commandsOn(host)));
      }
      // As many as are under way at most.
      expect(kept).toBe(MAX_DISK_TURNS);
    },
  );
});
