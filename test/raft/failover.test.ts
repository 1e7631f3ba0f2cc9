import { describe, expect, it } from "vitest";
import type { Raft } from "../../src/raft/raft.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { propose, seededRandom, tick } from "../support/core.ts";
import { Group } from "./group.ts";

function refused(raft: Raft, member: NodeId): void {
  raft.step({ kind: "refused", member });
}

describe("three nodes, whose leader is refused", () => {
  function three(seed = 1): Group {
    const timeouts = { electionTimeoutMinTicks: 40, electionTimeoutMaxTicks: 80 };
    const group = new Group({ a: [], b: [], c: [] }, { ...timeouts, random: seededRandom(seed) });
    while (!group.leaders.includes("c")) {
      group.tick();
      if (group.leaders.length > 0 && !group.leaders.includes("c")) for (const id of "abc") group.restart(id);
    }
    group.tick(3);
    return group;
  }

  it("have another leader before the shortest timeout when theirs died and both know", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const group = three(seed);
      const term = group.core("c").currentTerm + 1;
      group.crash("c");
      for (const id of ["a", "b"]) refused(group.core(id), "c");
      let ticks = 0;
      for (; group.leaders.length === 0; ticks++) group.tick();
      // Also where both ask at the same time.
      expect({ seed, isSoon: ticks <= 8, term: group.core("a").currentTerm }).toEqual({ seed, isSoon: true, term });
    }
  });

  it("keep their leader when one of them is wrong: the other hears it and refuses, as it does itself (PITFALL 8)", () => {
    const group = three();
    const { currentTerm } = group.core("c");
    const votes: boolean[] = [];
    group.lost = (message) => {
      if (message.kind === "requestVoteResponse") votes.push(message.granted);
      return false;
    };
    for (let round = 0; round < 50; round++) {
      refused(group.core("a"), "c");
      group.tick();
    }
    expect(votes.length).toBeGreaterThan(10);
    expect(new Set(votes)).toEqual(new Set([false]));
    expect({ leaders: group.leaders, terms: group.cores.map((core) => core.currentTerm) }).toEqual({
      leaders: ["c"],
      terms: [currentTerm, currentTerm, currentTerm],
    });
  });

  it("serve no old read and lose no commit when both others are wrong about a leader that lives", () => {
    const group = three();
    group.propose("c");
    const committed = group.core("c").commitIndex;
    // It hears nobody and nobody hears it, and by its own clock it is in office for long.
    group.connect("a", "b");
    for (const id of ["a", "b"]) refused(group.core(id), "c");
    let next: string | undefined;
    for (let i = 0; i < 39 && next === undefined; i++) {
      for (const id of ["a", "b"]) tick(group.core(id));
      group.settle();
      next = group.leaders.find((id) => id !== "c");
    }
    if (next === undefined) throw new Error("another leader");
    group.propose(next);
    expect(group.core(next).commitIndex).toBeGreaterThan(committed);
    expect(group.core("c").role.kind).toBe("leader");
    group.readIndex("c", 1);
    propose(group.core("c"));
    group.settle();
    expect({ reads: group.reads, commit: group.core("c").commitIndex }).toEqual({ reads: [], commit: committed });
    group.heal();
    group.tick(2);
    expect(group.reads).toEqual([{ kind: "notLeader", id: 1 }]);
    expect(group.core("c").log.termAt(group.core(next).commitIndex)).toBe(group.core(next).currentTerm);
  });
});
