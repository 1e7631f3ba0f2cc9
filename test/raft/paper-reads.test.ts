import { describe, expect, it } from "vitest";
import { Group } from "./group.ts";

describe("reads without a log entry (thesis 6.4)", () => {
  it("a leader that is cut off answers no read with an index: another may have committed more (thesis 6.4, PITFALL 42)", () => {
    const group = new Group({ a: [], b: [], c: [] });
    group.elect("a");
    group.connect("b", "c");
    group.elect("b");
    group.propose("b");
    group.readIndex("a", 1);
    group.tick(5);
    expect(group.leaders).toEqual(["a", "b"]);
    expect(group.reads).toEqual([]);
    // It finds out by itself, and says so.
    group.tick(20);
    expect(group.leaders).toEqual(["b"]);
    expect(group.reads).toEqual([{ kind: "notLeader", id: 1 }]);
  });

  it("a read of one time in office is answered with an index in no later one (thesis 6.4, PITFALL 42)", () => {
    const group = new Group({ a: [], b: [], c: [] });
    group.elect("a");
    group.connect("b", "c");
    group.readIndex("a", 1);
    group.elect("b");
    group.heal();
    group.tick(4);
    group.connect("a", "c");
    group.elect("a");
    group.tick(4);
    expect(group.reads).toEqual([{ kind: "notLeader", id: 1 }]);
  });

  it("a new leader's first read covers what its predecessor committed, also what it didn't know of (thesis 6.4)", () => {
    const group = new Group({ a: [], b: [], c: [] });
    group.elect("a");
    // b has the entry and not the news that it is committed.
    group.lost = (message) => message.kind === "appendEntries" && (message.to === "c" || message.leaderCommit > 1);
    group.propose("a");
    expect([group.core("a").commitIndex, group.core("b").commitIndex]).toEqual([2, 1]);
    group.crash("a");
    group.lost = (message) => message.kind === "appendEntries";
    group.elect("b");
    group.readIndex("b", 1);
    expect(group.reads).toEqual([]);
    group.heal();
    group.tick(4);
    expect(group.reads).toEqual([{ kind: "readIndex", id: 1, index: 3, term: 2 }]);
  });

  it("the index is that of the time when the read came, not of later commits (thesis 6.4)", () => {
    const group = new Group({ a: [], b: [], c: [] });
    group.elect("a");
    group.lost = (message) => message.kind === "appendEntriesResponse";
    group.readIndex("a", 1);
    group.propose("a");
    group.heal();
    group.tick(2);
    expect(group.reads).toEqual([{ kind: "readIndex", id: 1, index: 1, term: 1 }]);
    expect(group.core("a").commitIndex).toBe(2);
  });
});
