import { describe, expect, it } from "vitest";
import type { Message } from "../../src/raft/message.ts";
import { progressOf, termsOf } from "../support/core.ts";
import { Group } from "./group.ts";

describe("election restriction (§5.4.1)", () => {
  it("who lacks a committed entry is not elected, whoever else is up; who holds it can be (§5.4.1)", () => {
    const group = new Group({ a: [], b: [], c: [], d: [], e: [] });
    group.elect("a");
    group.connect("a", "b", "c");
    group.propose("a");
    expect(group.core("a").commitIndex).toBe(2);
    group.crash("a");
    group.heal();
    for (const id of ["d", "e", "d", "e"]) {
      group.campaign(id);
      expect(group.leaders).toEqual([]);
    }
    group.elect("b");
    expect(group.cores.map(({ lastApplied }) => lastApplied)).toEqual([3, 3, 3, 3]);
  });

  it("a candidate whose log is better only beyond what is committed may win: what is uncommitted may go (§5.4.1)", () => {
    const group = new Group({ a: [], b: [], c: [] });
    group.elect("a");
    group.connect("a");
    group.propose("a", 3);
    group.crash("a");
    group.heal();
    group.elect("b");
    group.restart("a");
    group.tick(4);
    expect(group.logs).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
  });
});

describe("committing entries from previous terms (§5.4.2)", () => {
  /** Figure 8 up to (c): a, again leader in term 4, has its entry 2 of term 2 on a majority, and e one of term 3. */
  function figure8(): Group {
    const group = new Group({ a: [1], b: [1], c: [1], d: [1], e: [1] }, { maxAppendBytes: 1 });
    const onlyTo = (ids: string, upTo: number) => (message: Message) =>
      message.kind === "appendEntries" && (!ids.includes(message.to) || message.frames.some(({ last }) => last > upTo));
    // (a) a leads term 2 and brings its entry to b.
    group.lost = onlyTo("b", 2);
    group.elect("a");
    group.crash("a");
    // (b) e leads term 3 with the votes of c and d, and keeps its entry for itself.
    group.lost = onlyTo("", 0);
    group.elect("e");
    group.crash("e");
    // (c) a leads term 4 and goes on with its entry of term 2, but hasn't brought anybody that of term 4.
    group.restart("a");
    group.lost = onlyTo("bc", 2);
    group.elect("a");
    group.tick(4);
    return group;
  }

  it("an entry of an earlier term isn't committed by being on a majority (Figure 8 c, §5.4.2)", () => {
    const group = figure8();
    const leader = group.core("a");
    expect(["b", "c"].map((id) => [group.core(id).log.lastId, progressOf(leader, id).match])).toEqual([
      [{ index: 2, term: 2 }, 2],
      [{ index: 2, term: 2 }, 2],
    ]);
    expect(leader).toMatchObject({ currentTerm: 4, commitIndex: 0 });
  });

  it("so it may still be replaced, on all, and nobody has applied it (Figure 8 d, §5.4.2)", () => {
    const group = figure8();
    group.crash("a");
    group.restart("e");
    group.heal();
    group.elect("e");
    group.restart("a");
    group.tick(4);
    for (const core of group.cores) {
      expect(termsOf(core)).toEqual([1, 3, 5]);
      expect(core.lastApplied).toBe(3);
    }
  });

  it("once one of the leader's own term is, both are committed, and nobody without them is elected (Figure 8 e, §5.4.2)", () => {
    const group = figure8();
    group.lost = ({ to }) => to === "d";
    group.tick(4);
    expect(group.core("a").commitIndex).toBe(3);
    group.crash("a");
    group.restart("e");
    group.heal();
    group.campaign("e");
    expect(group.leaders).toEqual([]);
    group.elect("b");
    group.tick(4);
    for (const core of group.cores) expect(termsOf(core).slice(0, 3)).toEqual([1, 2, 4]);
  });
});
