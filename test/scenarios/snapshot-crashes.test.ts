import { expect } from "vitest";
import type { Host } from "../simulation/host.ts";
import { type Lab, names, scenario } from "./lab.ts";

/** A service puts a snapshot after so many entries, and nothing before it is kept. */
const EVERY = 10;
const OPTIONS = { seeds: 60, node: { catchUpEntries: 0 } };

/** Long enough that a crash often comes between two writes. */
const SLOW_DISK = { minWriteMs: 10, maxWriteMs: 40, late: 0.3, maxLateMs: 40 };

/** Crashes `host` at some moment soon after something was counted, of whose effects its disk has some or none. */
function crashSoonAfter(lab: Lab, counter: string, host: Host): void {
  const before = lab.counters.get(counter);
  lab.runUntil(() => lab.counters.get(counter) > before, 10_000);
  lab.run(lab.random.nemesis.between(0, 120));
  lab.crash(host);
}

/** What it finds at its start is asserted there: a log that goes on from its newest snapshot. */
function restart(host: Host): void {
  const newest = host.directory.snapshots.at(-1)?.last.index ?? 0;
  expect(host.directory.log.base.index).toBeLessThanOrEqual(newest);
  expect(host.directory.log.lastIndex).toBeGreaterThanOrEqual(newest);
  host.start();
  const { first, commit, applied } = host.process?.node.state() ?? { first: 0, commit: 0, applied: 0 };
  expect({ commit, applied }).toEqual({ commit: newest, applied: newest });
  expect(first).toBe(host.directory.log.base.index + 1);
}

scenario(
  "a crash at any step of an install leaves log and snapshot contiguous, and the next try succeeds (PITFALL 39)",
  3,
  (lab) => {
    lab.services.snapshots = { everyEntries: EVERY, isMadeBy: () => true };
    lab.one("by all", 3);
    const [away] = lab.others(lab.oneLeader());
    if (away === undefined) throw new Error("two follow");
    lab.disconnect(away);
    lab.all(names("without it", 2 * EVERY), 2);
    lab.settle();
    Object.assign(away.diskFaults, SLOW_DISK);
    lab.connect(away);
    for (let round = 0; round < 3; round++) {
      crashSoonAfter(lab, "snapshots fetched", away);
      restart(away);
    }
    lab.one("by all again", 3, 20_000);
    expect(away.directory.log.base.index).toBeGreaterThan(EVERY);
  },
  OPTIONS,
);

scenario(
  "a crash at any step of cutting off a log leaves log and snapshot contiguous (PITFALL 39)",
  3,
  (lab) => {
    lab.services.snapshots = { everyEntries: EVERY, isMadeBy: () => true };
    for (const host of lab.hosts) Object.assign(host.diskFaults, SLOW_DISK);
    for (let round = 0; round < 3; round++) {
      lab.all(names(`round ${round}`, EVERY), 2);
      const [host] = lab.pick(1);
      if (host === undefined) throw new Error("three run");
      crashSoonAfter(lab, "logs cut off", host);
      restart(host);
    }
    lab.one("by all at the end", 3, 20_000);
  },
  OPTIONS,
);

scenario(
  "writes that a crash kept only in part, at all nodes at once, lose nothing that was committed (PITFALL 39)",
  3,
  (lab) => {
    lab.services.snapshots = { everyEntries: EVERY, isMadeBy: () => true };
    for (const host of lab.hosts) Object.assign(host.diskFaults, SLOW_DISK);
    for (let round = 0; round < 4; round++) {
      const before = lab.one(`round ${round}`, 2);
      for (const command of names(`more ${round}`, EVERY)) lab.propose(lab.oneLeader(), command);
      lab.run(lab.random.nemesis.between(0, 300));
      lab.crash(...lab.hosts);
      for (const host of lab.hosts) restart(host);
      expect(lab.one(`after ${round}`, 3, 20_000)).toBeGreaterThan(before);
    }
  },
  OPTIONS,
);
