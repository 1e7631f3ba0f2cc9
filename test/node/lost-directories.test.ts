import { describe, expect, it } from "vitest";
import { Directory } from "../simulation/disk.ts";
import type { Host } from "../simulation/host.ts";
import { DEFAULT_NODE, World } from "../simulation/world.ts";
import {
  commandsOn,
  commit,
  cutPair,
  electionsDuring,
  LONGEST_MS,
  leaderOf,
  NEVER,
  newWorld,
  nodeOf,
  others,
  propose,
  readIndex,
  threeOf,
} from "./world.ts";

/** It comes back at once, as it was started before, and its directory is empty. */
function loseDirectory(host: Host): void {
  host.crash(NEVER);
  host.mounted = host.newDirectory();
  host.start();
}

const isReady = (host: Host): boolean => nodeOf(host).status().notReadyReason === "";

describe("a voter that comes back with an emptied directory", () => {
  it.each([3, 5])("is refused by every peer of %i, and takes part in nothing (PITFALL 56)", (size) => {
    const world = newWorld({ size });
    const leader = leaderOf(world);
    commit(world, leader, "before");
    const [lost] = others(world, leader);
    if (lost === undefined) throw new Error("somebody follows");
    world.run(1_000);
    loseDirectory(lost);
    commit(world, leader, "without it");
    world.run(20_000);
    const why = nodeOf(lost).status().notReadyReason;
    for (const peer of others(world, lost)) {
      expect(why).toContain(`${peer.id} (INCARNATION_MISMATCH`);
      expect(isReady(peer)).toBe(true);
    }
    expect(lost.mounted).toMatchObject({ bootstrapped: false, log: { hardState: { currentTerm: 0 }, lastIndex: 0 } });
    expect(world.leader?.host).toBe(leader);
    // With the directory as it last was it is welcome again.
    lost.crash(NEVER);
    lost.mounted = lost.directory;
    lost.start();
    world.run(5_000);
    expect(commandsOn(lost)).toEqual(["before", "without it"]);
  });

  it("gives no quorum: neither a leader, nor a commit, nor a barrier (PITFALL 56)", () => {
    const world = newWorld();
    const [leader, lost, other] = threeOf(world);
    world.run(1_000);
    other.crash(NEVER);
    loseDirectory(lost);
    const calls = [propose(leader, "with one disk"), readIndex(leader)];
    const elections = electionsDuring(world, () => world.run(20_000));
    expect({ elections, leader: world.leader }).toEqual({ elections: 0, leader: undefined });
    expect(calls.map(({ answers }) => answers)).toEqual([["OUTCOME_UNKNOWN"], ["NO_LEADER"]]);
    // Nor after a restart of everybody.
    for (const host of [leader, lost]) host.crash(1);
    expect(electionsDuring(world, () => world.run(20_000))).toBe(0);
    other.start();
    commit(world, leaderOf(world), "with two disks");
  });

  it.each([
    ["isn't sent yet", 0],
    ["is on its way", 0.2],
  ])("gives no second vote in a term in which its first %s (PITFALL 56)", (_, afterVoteMs) => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const world = newWorld({ seed });
      const [leader, , rival] = threeOf(world);
      world.run(1_000);
      rival.crash(NEVER);
      leader.crash(1);
      const candidate = untilCandidate(world);
      const [voter] = others(world, candidate, rival);
      if (voter === undefined) throw new Error("two are up");
      const { log } = voter.directory;
      world.network.faults.lateAnswers = 1;
      expect(world.runUntil(() => log.hardState.votedFor === candidate.id && log.hardState.currentTerm > 1, 10)).toBe(
        true,
      );
      world.run(afterVoteMs);
      world.network.faults.lateAnswers = 0;
      const { currentTerm } = log.hardState;
      const { commitIndex } = world.properties;
      loseDirectory(voter);
      cutPair(world, candidate, rival);
      rival.start();
      const elections = electionsDuring(world, () => world.run(10 * LONGEST_MS));
      // The vote that was given counts, should it arrive; and its term is lost, for want of a quorum.
      expect(elections).toBeLessThanOrEqual(afterVoteMs === 0 ? 0 : 1);
      expect(rival.directory.log.hardState.currentTerm).toBeLessThan(currentTerm);
      expect({ leader: world.leader, commitIndex: world.properties.commitIndex }).toEqual({
        leader: undefined,
        commitIndex,
      });
    }
  });
});

describe("first starts", () => {
  const incarnation = (index: number): Uint8Array => Uint8Array.from({ length: 16 }, () => index + 1);

  it("that disagree about the members form no quorum, let alone two (PITFALL 56)", () => {
    const first = ["n1", "n2", "n3"];
    const second = ["n3", "n4", "n5"];
    const both = ["n1", "n2", "n3", "n4", "n5"];
    const world = new World({ seed: 1, size: 5, node: DEFAULT_NODE });
    // The one in the middle knows all of them, and would make up each one's majority.
    for (const [index, voters] of [first, first, both, second, second].entries()) {
      const [host] = world.hosts.slice(index);
      if (host !== undefined) host.mounted = new Directory(incarnation(index), voters);
    }
    world.startAll();
    world.run(30_000);
    expect(world.properties.elections).toBe(0);
    for (const { mounted } of world.hosts)
      expect(mounted).toMatchObject({ bootstrapped: false, log: { lastIndex: 0 } });
    for (const host of world.hosts) expect(nodeOf(host).status().notReadyReason).toContain("CLUSTER_MISMATCH");
  });

  it("give no vote before all know them: two that can't meet elect nobody, not even the one that both know (PITFALL 56)", () => {
    const world = newWorld();
    const [known, one, two] = world.hosts;
    if (known === undefined || one === undefined || two === undefined) throw new Error("three hosts");
    cutPair(world, one, two);
    world.run(20_000);
    expect(world.hosts.map(({ mounted }) => mounted.bootstrapped)).toEqual([true, false, false]);
    // Should one of the two lose its directory now, the other would take what comes back for the first that was there.
    expect(world.properties.elections).toBe(0);
    world.network.heal();
    leaderOf(world);
  });

  it("that disagreed are forgotten: who did is let in with an empty directory and the others' list (PITFALL 56)", () => {
    const world = new World({ seed: 1, size: 3, node: DEFAULT_NODE });
    const [odd] = world.hosts;
    if (odd === undefined) throw new Error("three hosts");
    odd.mounted = new Directory(incarnation(0), ["n1", "n2"]);
    world.startAll();
    world.run(10_000);
    expect(world.properties.elections).toBe(0);
    odd.crash(NEVER);
    odd.mounted = odd.directory;
    odd.start();
    commit(world, leaderOf(world), "together");
    world.run(1_000);
    expect(world.hosts.map(commandsOn)).toEqual(Array(3).fill(["together"]));
  });
});

function untilCandidate(world: World): Host {
  const candidates = (): Host[] => world.hosts.filter(({ process }) => process?.node.state().role === "candidate");
  expect(world.runUntil(() => candidates().length > 0, 10_000)).toBe(true);
  const [candidate] = candidates();
  if (candidate === undefined) throw new Error("somebody campaigns");
  return candidate;
}
