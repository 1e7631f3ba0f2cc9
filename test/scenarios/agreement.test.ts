import { expect } from "vitest";
import type { Host } from "../simulation/host.ts";
import { ELECTION_TIMEOUT_MS, type Lab, names, type Proposal, scenario } from "./lab.ts";

/** Proposes `commands` to a leader, which takes them into its log. */
function appended(lab: Lab, leader: Host, commands: readonly string[]): Proposal[] {
  const before = leader.process?.node.state();
  const proposals = commands.map((command) => lab.propose(leader, command));
  lab.run(1);
  const after = leader.process?.node.state();
  expect(after?.last).toBe((before?.last ?? 0) + commands.length);
  return proposals;
}

/** Nobody has applied them, nor was told that they are committed. */
function uncommitted(lab: Lab, proposals: readonly Proposal[]): void {
  for (const { command, place } of proposals) {
    expect(lab.services.indexesOf(command)).toEqual([]);
    expect(place).toBe(undefined);
  }
}

scenario(
  "basic agreement: three commands land at the next three indexes, and not before they were proposed",
  3,
  (lab) => {
    const leader = lab.oneLeader();
    lab.run(100);
    const last = leader.process?.node.state().last ?? 0;
    for (const [i, command] of names("command", 3).entries()) {
      expect(lab.services.indexesOf(command)).toEqual([]);
      expect(lab.services.count(last + 1 + i)).toBe(0);
      expect(lab.one(command, 3)).toBe(last + 1 + i);
    }
  },
);

scenario("follower failures: two of three agree; alone, the leader takes a proposal and never commits it", 3, (lab) => {
  lab.one("by all", 3);
  const [first, second] = lab.others(lab.oneLeader());
  if (first === undefined || second === undefined) throw new Error("two follow");
  lab.disconnect(first);
  lab.one("by two", 2);
  lab.run(ELECTION_TIMEOUT_MS);
  lab.one("by two, later", 2);

  const leader = lab.oneLeader();
  lab.disconnect(...lab.others(leader));
  const proposals = appended(lab, leader, ["by one"]);
  lab.settle();
  uncommitted(lab, proposals);
  // Check-quorum: it doesn't wait for ever, but steps down and can't tell what becomes of the command.
  expect(proposals[0]?.failure).toBe("OUTCOME_UNKNOWN");
});

scenario("leader failures: without one leader the rest agree; with two cut off nothing commits", 3, (lab) => {
  lab.one("by all", 3);
  lab.disconnect(lab.oneLeader());
  lab.one("by two", 2);
  lab.run(ELECTION_TIMEOUT_MS);
  lab.one("by two, later", 2);
  lab.disconnect(lab.oneLeader());
  const proposals = lab.hosts.map((host) => lab.propose(host, `by one, at ${host.id}`));
  lab.settle();
  uncommitted(lab, proposals);
});

scenario("agreement after a follower reconnects: it applies what it missed, and what comes next", 3, (lab) => {
  lab.one("before", 3);
  const [follower] = lab.others(lab.oneLeader());
  if (follower === undefined) throw new Error("two follow");
  lab.disconnect(follower);
  for (const command of names("missed", 2)) lab.one(command, 2);
  lab.settle();
  for (const command of names("missed later", 2)) lab.one(command, 2);
  lab.connect(follower);
  lab.one("after", 3);
  lab.settle();
  const last = lab.one("after, later", 3);
  expect(lab.services.positionOf(follower)).toBe(last);
});

scenario("no agreement without quorum: a proposal stays uncommitted; after repair later ones commit", 5, (lab) => {
  lab.one("before", 5);
  const leader = lab.oneLeader();
  lab.disconnect(...lab.others(leader).slice(0, 3));
  const proposals = appended(lab, leader, ["without a quorum"]);
  lab.settle();
  uncommitted(lab, proposals);

  lab.connect(...lab.hosts);
  const next = lab.propose(lab.oneLeader(), "with a quorum");
  lab.one("after", 5);
  expect(lab.services.indexesOf("with a quorum")).toEqual([next.place?.index]);
  expect(lab.services.indexesOf("without a quorum").length).toBeLessThanOrEqual(1);
});

scenario("concurrent proposals in one term all commit, each once, wherever they were made", 3, (lab) => {
  lab.oneLeader();
  lab.one("before", 3);
  const proposals = lab.hosts.flatMap((host) => names(host.id, 5).map((command) => lab.propose(host, command)));
  lab.run(ELECTION_TIMEOUT_MS);
  expect(new Set(proposals.map(({ place }) => place?.term)).size).toBe(1);
  for (const { command, place } of proposals) {
    expect(lab.services.indexesOf(command)).toEqual([place?.index]);
    expect(lab.services.agreedOn(command, 3)).toBe(place?.index);
  }
});

scenario("rejoin of a partitioned leader: its three uncommitted entries are overwritten everywhere", 3, (lab) => {
  lab.one("before", 3);
  const first = lab.oneLeader();
  lab.disconnect(first);
  const proposals = appended(lab, first, names("lost", 3));
  lab.one("kept", 2);
  const second = lab.oneLeader();
  lab.disconnect(second);
  lab.connect(first);
  lab.one("kept too", 2);
  lab.connect(second);
  lab.one("after", 3);
  expect(lab.services.log).toEqual(["before", "kept", "kept too", "after"]);
  uncommitted(lab, proposals);
  for (const host of lab.hosts) {
    const { log } = host.directory;
    for (const { command } of proposals) {
      expect(log.entries.some(({ bytes }) => Buffer.from(bytes).includes(command))).toBe(false);
    }
  }
});

scenario("backup over incorrect logs: convergence takes a few round trips per term, not one per entry", 5, (lab) => {
  lab.one("before", 5);
  const first = lab.oneLeader();
  const [follower, ...majority] = lab.others(first);
  if (follower === undefined) throw new Error("four follow");
  lab.disconnect(...majority);
  const wrong = appended(lab, first, names("wrong", 50));
  lab.run(ELECTION_TIMEOUT_MS / 2);

  lab.disconnect(first, follower);
  lab.connect(...majority);
  for (const command of names("right", 50)) lab.one(command, 3);
  const second = lab.oneLeader();
  const [apart] = majority.filter((host) => host !== second);
  if (apart === undefined) throw new Error("three agree");
  lab.disconnect(apart);
  wrong.push(...appended(lab, second, names("wrong again", 50)));
  lab.run(ELECTION_TIMEOUT_MS / 2);

  // The first partition returns, with the one node that can lead it.
  const returned = [first, follower, apart];
  lab.disconnect(...lab.hosts);
  const converging = lab.during(() => {
    lab.connect(...returned);
    for (const command of names("right again", 50)) lab.one(command, 3);
    lab.connect(...lab.hosts);
    lab.one("after", 5);
  });
  expect(lab.services.log).toEqual(["before", ...names("right", 50), ...names("right again", 50), "after"]);
  uncommitted(lab, wrong);
  // What a leader asks in vain is a round trip of the search for where the logs match.
  const rejections = converging.filter((message) => message.kind === "appendEntriesResponse" && !message.success);
  expect(rejections.length).toBeGreaterThan(0);
  for (const { id } of lab.hosts) {
    const roundTrips = rejections.filter(({ from }) => from === id);
    expect(roundTrips.length).toBeLessThanOrEqual(lab.properties.elections);
  }
});
