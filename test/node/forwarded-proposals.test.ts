import { describe, expect, it } from "vitest";
import { Failure } from "../../src/failure.ts";
import type { ProposalBatch, ProposalResult } from "../../src/node/api.ts";
import { draining, notLeader, termChanged } from "../../src/node/failures.ts";
import { type Group, Proposals } from "../../src/node/proposals.ts";

/** One proposal that was forwarded to the leader, and the answers that its caller got. */
function forwarded(batch: Partial<ProposalBatch> = {}) {
  const proposals = new Proposals({
    maxProposals: 10,
    maxProposalBytes: 1_000,
    leaderWaitMs: 100,
    proposalTimeoutMs: 50,
  });
  const answers: ProposalResult[] = [];
  const done = (result: ProposalResult) => answers.push(result);
  proposals.add({ commands: [Buffer.from("x")], deadlineMs: undefined, ordered: false, done, ...batch }, 0);
  const group = takeGroup(proposals);
  proposals.onForwarding(group, 0);
  return { proposals, answers, group };
}

function takeGroup(proposals: Proposals): Group {
  const group = proposals.takeGroup();
  if (group === undefined) throw new Error("a proposal waits");
  return group;
}

const reasons = (answers: readonly ProposalResult[]) =>
  answers.map((answer) => (answer.kind === "failed" ? answer.failure.reason : answer.kind));

describe("a proposal that was forwarded", () => {
  it("and whose stream broke after sending gets OUTCOME_UNKNOWN, and is never sent again (PITFALL 58)", () => {
    const { proposals, answers, group } = forwarded();
    proposals.onForwardOutcome(group, { kind: "lost" });
    expect(reasons(answers)).toEqual(["OUTCOME_UNKNOWN"]);
    expect({ again: proposals.takeGroup(), count: proposals.unanswered }).toEqual({ again: undefined, count: 0 });
  });

  it("and never got an answer gets OUTCOME_UNKNOWN in time, once, and is never sent again (PITFALL 58)", () => {
    const { proposals, answers, group } = forwarded();
    proposals.expire(149, false);
    expect(answers).toEqual([]);
    proposals.expire(150, false);
    proposals.onForwardOutcome(group, { kind: "committed", first: { index: 3, term: 1 } });
    expect(reasons(answers)).toEqual(["OUTCOME_UNKNOWN"]);
    expect({ again: proposals.takeGroup(), count: proposals.unanswered }).toEqual({ again: undefined, count: 0 });
  });

  it.each([
    ["never left this node", { kind: "notSent" }],
    ["reached somebody who doesn't lead", { kind: "failed", failure: notLeader() }],
    ["reached the leader of another term", { kind: "failed", failure: termChanged(1, 2) }],
    ["reached a leader that shuts down", { kind: "failed", failure: draining() }],
  ] as const)("and %s waits for the next leader: it was appended nowhere (PITFALL 58)", (_, outcome) => {
    const { proposals, answers, group } = forwarded();
    proposals.onForwardOutcome(group, outcome);
    expect({ answers, again: takeGroup(proposals) }).toEqual({ answers: [], again: group });
    const ordered = forwarded({ ordered: true });
    ordered.proposals.onForwardOutcome(ordered.group, outcome);
    expect(reasons(ordered.answers)).toEqual(["NOT_APPENDED"]);
    expect(ordered.proposals.takeGroup()).toBeUndefined();
  });

  it("and that the leader refused gets the leader's answer", () => {
    const { proposals, answers, group } = forwarded();
    proposals.onForwardOutcome(group, { kind: "failed", failure: new Failure("OVERLOADED", "too many") });
    expect(reasons(answers)).toEqual(["OVERLOADED"]);
    expect(proposals.takeGroup()).toBeUndefined();
  });
});
