import { describe, expect, it } from "vitest";
import { appends, drain, electAndSettle, newCore, tick } from "../support/core.ts";
import { Group } from "./group.ts";

describe("log replication (§5.3)", () => {
  it("commits as long as a majority is up: who is slow or gone delays nobody (§5.3)", () => {
    const group = new Group({ a: [], b: [], c: [], d: [], e: [] });
    group.elect("a");
    group.connect("a", "b", "c");
    for (let i = 0; i < 20; i++) group.propose("a");
    expect(group.core("a")).toMatchObject({ commitIndex: 21, lastApplied: 21 });
    group.connect("a", "b");
    group.propose("a");
    expect(group.core("a").commitIndex).toBe(21);
  });

  it("tells a follower that was away everything, however long ago it was committed (§5.3)", () => {
    const group = new Group({ a: [], b: [], c: [] }, { maxInFlight: 2, maxAppendBytes: 20 });
    group.elect("a");
    group.connect("a", "b");
    for (let i = 0; i < 50; i++) {
      group.propose("a");
      group.tick(10);
    }
    expect(group.core("a").commitIndex).toBe(51);
    expect(group.core("c").log.lastIndex).toBe(1);
    group.heal();
    group.tick(3);
    expect(group.core("c")).toMatchObject({ commitIndex: 51, lastApplied: 51 });
  });

  it("the commit index goes with every heartbeat (§5.3)", () => {
    const raft = newCore();
    electAndSettle(raft);
    tick(raft, 2);
    expect(appends(drain(raft).messages)).toMatchObject([{ leaderCommit: 1 }, { leaderCommit: 1 }]);
  });

  // Figure 7: the leader of term 8 and what its followers' logs may look like.
  const leader = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
  it.each([
    { name: "(a) one entry missing", log: [1, 1, 1, 4, 4, 5, 5, 6, 6] },
    { name: "(b) many entries missing", log: [1, 1, 1, 4] },
    { name: "(c) one entry too many", log: [...leader, 6] },
    { name: "(d) entries of a term that the leader lacks", log: [...leader, 7, 7] },
    { name: "(e) entries missing, and others uncommitted", log: [1, 1, 1, 4, 4, 4, 4] },
    { name: "(f) two terms that the leader lacks", log: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3] },
    { name: "an empty log", log: [] },
  ])("a leader brings a follower's log to agree with its own, which only grows: $name (Figure 7, §5.3)", ({ log }) => {
    // Who votes has nothing newer: in the figure at most those of (a), (b), (e) and (f) do.
    const group = new Group({ leader, a: leader.slice(0, 9), b: leader.slice(0, 4), follower: log, e: [] });
    group.lost = ({ from, to }) => from === "follower" || to === "follower";
    group.elect("leader");
    group.heal();
    group.propose("leader");
    group.tick(10);
    const term = group.core("leader").currentTerm;
    expect(group.logs).toEqual(Array.from({ length: 5 }, () => [...leader, term, term]));
    expect(group.cores.map(({ commitIndex }) => commitIndex)).toEqual([12, 12, 12, 12, 12]);
  });

  it("a follower with an empty log gets everything from an idle leader that was restarted too (§5.3, PITFALL 25)", () => {
    const group = new Group({ a: [1, 1, 2, 2, 2], b: [1, 1, 2, 2, 2], c: [] }, { maxAppendBytes: 20 });
    group.connect("a", "b");
    group.elect("a");
    group.tick(20);
    expect(group.core("a").log.firstInMemory).toBe(6);
    group.heal();
    group.tick(4);
    const term = group.core("a").currentTerm;
    expect(group.logs[2]).toEqual([1, 1, 2, 2, 2, term]);
    expect(group.core("c").lastApplied).toBe(6);
  });
});
