import { expect } from "vitest";
import type { Host } from "../simulation/host.ts";
import { type Lab, names, scenario } from "./lab.ts";

/** A service puts a snapshot after so many entries. */
const EVERY = 10;

/** What a log may hold at most: the entries since the last snapshot, and those that came while the leader changed. */
const MAX_ENTRIES = 2 * EVERY;

/** What follows a snapshot is kept for half a minute for those who have read it. */
const LINGER_MS = 60_000;

const ROUNDS = 8;

/** Nobody keeps entries for members that lag, so whoever is away for a snapshot needs one. */
const NODE = { catchUpEntries: 0 };

function takeSnapshots(lab: Lab, isMadeBy: (host: Host) => boolean = () => true): void {
  lab.services.snapshots = { everyEntries: EVERY, isMadeBy };
}

/** Enough for a snapshot, most of the time. */
function proposeSome(lab: Lab, host: Host, prefix: string): void {
  const count = EVERY / 2 + lab.random.nemesis.below(EVERY);
  for (const command of names(prefix, count)) lab.propose(host, command);
}

function expectShortLogs(lab: Lab): void {
  const lengths = (): number[] => lab.processes.map(({ node }) => node.state().last - node.state().first);
  lab.runUntil(() => Math.max(...lengths()) < MAX_ENTRIES, LINGER_MS);
  expect(Math.max(...lengths())).toBeLessThan(MAX_ENTRIES);
}

/** One node after the other misses what the others agree on, and their logs are cut off meanwhile. */
function installs(lab: Lab, leave: (host: Host) => void, comeBack: (host: Host) => void): void {
  takeSnapshots(lab);
  lab.one("at first", 3);
  for (let round = 1; round <= ROUNDS; round++) {
    const leader = lab.oneLeader();
    const [victim = leader] = round % 3 === 1 ? [leader] : lab.others(leader);
    leave(victim);
    lab.one(`without ${victim.id}, ${round}`, 2);
    const [sender = victim] = lab.hosts.filter((host) => host === lab.leading && host !== victim);
    proposeSome(lab, sender, `round ${round}, command`);
    lab.one(`without ${victim.id} still, ${round}`, 2);
    comeBack(victim);
    lab.one(`by all, ${round}`, 3);
  }
  expectShortLogs(lab);
  expect(lab.counters.get("logs cut off")).toBeGreaterThan(ROUNDS / 2);
  expect(lab.counters.get("logs replaced")).toBeGreaterThan(0);
}

function installsByDisconnects(lab: Lab): void {
  installs(
    lab,
    (host) => lab.disconnect(host),
    (host) => lab.connect(host),
  );
}

function installsByCrashes(lab: Lab): void {
  installs(
    lab,
    (host) => lab.crash(host),
    (host) => host.start(),
  );
}

scenario(
  "basic: 30 commands and a snapshot every 10, by the service of one node: every node cuts off its log",
  3,
  (lab) => {
    const [maker] = lab.pick(1);
    takeSnapshots(lab, (host) => host === maker);
    const commands = names("command", 30);
    for (const command of commands) lab.one(command, 3);
    expectShortLogs(lab);
    expect(lab.services.log).toEqual(commands);
    expect(lab.counters.get("snapshots put")).toBe(3);
    for (const { node } of lab.processes) expect(node.state().first).toBeGreaterThan(EVERY);
  },
  { node: NODE },
);

scenario("install: followers and leaders that are cut off go on from a snapshot", 3, installsByDisconnects, {
  node: NODE,
});

scenario(
  "install on an unreliable network",
  3,
  (lab) => {
    lab.unreliable();
    installsByDisconnects(lab);
  },
  { node: NODE },
);

scenario("install with crashes instead of disconnects", 3, installsByCrashes, { node: NODE });

scenario(
  "install with crashes, on an unreliable network",
  3,
  (lab) => {
    lab.unreliable();
    installsByCrashes(lab);
  },
  { node: NODE },
);

scenario(
  "all crash: between snapshots every node restarts at random, and indexes never go back (PITFALL 14)",
  3,
  (lab) => {
    takeSnapshots(lab);
    let last = lab.one("at first", 3);
    for (let round = 1; round <= ROUNDS; round++) {
      proposeSome(lab, lab.oneLeader(), `round ${round}, command`);
      const before = lab.one(`before ${round}`, 3);
      lab.run(lab.random.nemesis.between(0, 50));
      const first = new Map(lab.processes.map(({ host, node }) => [host, node.state().first]));
      lab.restart(...lab.pick(3));
      for (const { host, node } of lab.processes)
        expect(node.state().first).toBeGreaterThanOrEqual(first.get(host) ?? 0);
      const after = lab.one(`after ${round}`, 3);
      expect(before).toBeGreaterThan(last);
      expect(after).toBeGreaterThan(before);
      last = after;
    }
  },
  { node: NODE },
);

scenario(
  "initialisation after a crash: a node with a snapshot and nothing else restarts twice and still agrees (PITFALL 39)",
  3,
  (lab) => {
    takeSnapshots(lab);
    const commands = names("command", EVERY + 1);
    lab.all(commands, 3);
    // Until each has a snapshot, and no entry that it covers.
    const isCut = (): boolean => lab.processes.every(({ node }) => node.state().first > EVERY);
    expect(lab.runUntil(isCut, 10_000)).toBe(true);
    lab.restart(...lab.hosts);
    lab.one("after one restart", 3);
    lab.restart(...lab.hosts);
    lab.one("after two", 3);
    expect(new Set(lab.services.log)).toEqual(new Set([...commands, "after one restart", "after two"]));
  },
  { node: NODE },
);

scenario(
  "a follower behind a log that was cut off gets a snapshot without new traffic (PITFALL 25)",
  3,
  (lab) => {
    takeSnapshots(lab);
    lab.one("by all", 3);
    const [away] = lab.others(lab.oneLeader());
    if (away === undefined) throw new Error("two follow");
    lab.disconnect(away);
    lab.all(names("without it", 2 * EVERY), 2);
    lab.settle();
    const last = Math.max(...lab.processes.map(({ node }) => node.state().last));
    lab.connect(away);
    expect(lab.runUntil(() => lab.services.positionOf(away) >= last, 10_000)).toBe(true);
    expect(away.process?.node.state().first).toBeGreaterThan(EVERY);
    expect(lab.counters.get("logs replaced")).toBe(1);
  },
  { node: NODE },
);
