import { describe, expect, it } from "vitest";
import {
  appendEntries,
  appends,
  diskWith,
  drain,
  elect,
  newCore,
  receive,
  seededRandom,
  timeOut,
  votersOnly,
} from "../support/core.ts";
import { Group } from "./group.ts";
import { voteOf, votesAsked } from "./votes.ts";

const FIVE = { a: [], b: [], c: [], d: [], e: [] };

describe("leader election (§5.2)", () => {
  it("a server starts up as a follower that knows no leader, whatever it was before (§5.2)", () => {
    const raft = newCore({}, diskWith([1, 2], 7, "a"));
    expect(raft).toMatchObject({ role: { kind: "follower", leader: "" }, currentTerm: 7, leader: "" });
    expect(drain(raft).messages).toEqual([]);
  });

  it("a follower that hears from nobody for its election timeout begins an election, and not before (§5.2)", () => {
    const group = new Group(FIVE, { electionTimeoutMaxTicks: 15 });
    group.connect("a");
    group.tick(14);
    expect(group.core("a").role.kind).toBe("follower");
    group.tick();
    expect(group.core("a").role.kind).toBe("preCandidate");
  });

  it.each([
    { voters: 1, votes: 1 },
    { voters: 2, votes: 2 },
    { voters: 3, votes: 2 },
    { voters: 4, votes: 3 },
    { voters: 5, votes: 3 },
    { voters: 7, votes: 4 },
  ])("of $voters voters $votes elect, its own vote among them, and one less doesn't (§5.2)", ({ voters, votes }) => {
    const [self = "", ...others] = ["a", "b", "c", "d", "e", "f", "g"].slice(0, voters);
    const raft = newCore({ configuration: votersOnly(self, ...others) });
    timeOut(raft);
    for (const other of others) receive(raft, voteOf(other, 1, true));
    for (let received = 1; received < votes; received++) {
      expect(raft.role.kind).toBe("candidate");
      receive(raft, voteOf(others[received - 1] ?? "", 1));
    }
    expect(raft.role.kind).toBe("leader");
  });

  it("a new leader sends to all others at once, which prevents new elections (§5.2)", () => {
    const raft = newCore({ configuration: votersOnly("a", "b", "c", "d", "e") });
    elect(raft);
    expect(appends(raft.takeReady().messages).map(({ to }) => to)).toEqual(["b", "c", "d", "e"]);
    const group = new Group(FIVE);
    group.elect("a");
    expect(group.cores.map(({ leader }) => leader)).toEqual(["a", "a", "a", "a", "a"]);
  });

  it("heartbeats keep everybody a follower for as long as they come (§5.2)", () => {
    const group = new Group(FIVE, { electionTimeoutMaxTicks: 12 });
    group.elect("c");
    group.tick(500);
    expect({ leaders: group.leaders, terms: group.cores.map(({ currentTerm }) => currentTerm) }).toEqual({
      leaders: ["c"],
      terms: [1, 1, 1, 1, 1],
    });
  });

  it("a candidate that hears a leader of an earlier term rejects it, and goes on as a candidate (§5.2)", () => {
    const raft = newCore({}, diskWith([], 3));
    timeOut(raft);
    receive(raft, voteOf("c", 4, true));
    const timer = raft.electionAtTicks;
    receive(raft, appendEntries({ term: 3 }));
    receive(raft, voteOf("c", 4));
    expect(raft).toMatchObject({ role: { kind: "leader" }, currentTerm: 4, electionAtTicks: timer });
  });

  it("at the start of an election a candidate draws its timeout anew (§5.2)", () => {
    const draws = [3, 7, 5];
    const raft = newCore({ random: () => draws.shift() ?? 0 });
    timeOut(raft);
    expect(raft).toMatchObject({ role: { kind: "preCandidate" }, nowTicks: 13, electionAtTicks: 13 + 17 });
    receive(raft, voteOf("b", 1, true));
    expect(raft).toMatchObject({ role: { kind: "candidate" }, electionAtTicks: 13 + 15 });
  });

  it("a candidate that neither wins nor loses asks again when its timer fires, in the next term (§5.2)", () => {
    const raft = newCore();
    timeOut(raft);
    receive(raft, voteOf("b", 1, true));
    drain(raft);
    timeOut(raft);
    const { messages } = drain(raft);
    expect(votesAsked(messages)).toEqual(["b", "c"]);
    expect(messages).toMatchObject([
      { term: 2, preVote: true },
      { term: 2, preVote: true },
    ]);
  });

  it("candidates that split the vote draw timeouts that differ, and soon one of them leads (§5.2)", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = seededRandom(seed);
      // All timers fire together at first: the worst split there is.
      let first = 5;
      const group = new Group(FIVE, {
        electionTimeoutMaxTicks: 19,
        random: (bound) => (first-- > 0 ? 0 : random(bound)),
      });
      group.tick(10);
      expect(group.leaders).toEqual([]);
      group.tick(200);
      expect(group.leaders).toHaveLength(1);
    }
  });
});
