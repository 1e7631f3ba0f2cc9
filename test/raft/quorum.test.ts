import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { allMembers, isLost, isQuorum, isVoter, quorumValue } from "../../src/raft/quorum.ts";
import type { Configuration, NodeId } from "../../src/raft/types.ts";
import { accepted, appends, drain, elect, newCore, propose, receive, votersOnly } from "../support/core.ts";

const names = ["a", "b", "c", "d", "e", "f", "g"];
const someVoters = fc.subarray(names, { minLength: 1 });
const reached = fc.dictionary(fc.constantFrom(...names), fc.nat(20)).map((values) => (id: NodeId) => values[id] ?? 0);

/** The slow way: the highest value that more than half of the voters have. */
function byCounting(voters: readonly NodeId[], value: (id: NodeId) => number): number {
  return Math.max(
    ...[0, ...voters.map(value)].filter(
      (least) => voters.filter((id) => value(id) >= least).length * 2 > voters.length,
    ),
  );
}

describe("quorumValue", () => {
  it("is exactly the majority-th highest of the voters' values (PITFALL 22)", () => {
    fc.assert(
      fc.property(someVoters, reached, (voters, value) => {
        const descending = voters.map(value).sort((a, b) => b - a);
        expect(quorumValue(votersOnly(...voters), value)).toBe(descending[Math.floor(voters.length / 2)]);
        expect(quorumValue(votersOnly(...voters), value)).toBe(byCounting(voters, value));
      }),
    );
  });

  it("in a joint configuration is what both majorities have reached (§6)", () => {
    fc.assert(
      fc.property(someVoters, someVoters, reached, (voters, outgoing, value) => {
        const lower = Math.min(byCounting(voters, value), byCounting(outgoing, value));
        expect(quorumValue({ voters, outgoing, learners: [] }, value)).toBe(lower);
      }),
    );
  });

  it("is the same in whatever order the acknowledgements come (PITFALLS 14, 22)", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom("b", "c", "d", "e"), fc.integer({ min: 1, max: 9 }))), (acks) => {
        const raft = newCore({ configuration: votersOnly("a", "b", "c", "d", "e") });
        elect(raft);
        propose(raft, 8);
        const requests = appends(drain(raft).messages);
        const match = new Map<NodeId, number>([["a", 9]]);
        for (const [id, index] of acks) {
          const request = requests.find(({ to }) => to === id);
          if (request !== undefined) receive(raft, accepted(request, index));
          match.set(id, Math.max(match.get(id) ?? 0, index));
          drain(raft);
          expect(raft.commitIndex).toBe(byCounting(["a", "b", "c", "d", "e"], (voter) => match.get(voter) ?? 0));
        }
      }),
    );
  });
});

describe("quorums", () => {
  it("any two of one configuration share a voter, also when it is joint (§5.2, §6)", () => {
    fc.assert(
      fc.property(
        someVoters,
        fc.subarray(names),
        fc.subarray(names),
        fc.subarray(names),
        (voters, outgoing, one, two) => {
          const configuration: Configuration = { voters, outgoing, learners: [] };
          const both = [one, two].every((set) => isQuorum(configuration, (id) => set.includes(id)));
          if (both) expect(one.some((id) => two.includes(id) && voters.includes(id))).toBe(true);
        },
      ),
    );
  });

  it("half is no majority", () => {
    expect(isQuorum(votersOnly("a", "b", "c", "d"), (id) => id < "c")).toBe(false);
    expect(isQuorum(votersOnly("a", "b", "c", "d"), (id) => id < "d")).toBe(true);
  });

  it("no voters are no quorum", () => {
    expect(isQuorum(votersOnly(), () => true)).toBe(false);
    expect(quorumValue(votersOnly(), () => 7)).toBe(0);
  });

  it("an election is lost once those who refused keep every quorum from forming", () => {
    expect(isLost(votersOnly("a", "b", "c"), (id) => id === "b")).toBe(false);
    expect(isLost(votersOnly("a", "b", "c"), (id) => id !== "a")).toBe(true);
    expect(isLost(votersOnly("a", "b", "c", "d"), (id) => id > "b")).toBe(true);
    expect(isLost({ voters: ["a", "b", "c"], outgoing: ["d"], learners: [] }, (id) => id === "d")).toBe(true);
  });

  it("a member is named once, whatever it is; learners don't vote", () => {
    const configuration: Configuration = { voters: ["a", "b"], outgoing: ["b", "c"], learners: ["d"] };
    expect(allMembers(configuration)).toEqual(["a", "b", "c", "d"]);
    expect(["a", "c", "d", "x"].map((id) => isVoter(configuration, id))).toEqual([true, true, false, false]);
  });
});
