import { describe, expect, it } from "vitest";
import { assert } from "../../src/assert.ts";
import { Failure, type Reason } from "../../src/failure.ts";
import { type Group, Proposals } from "../../src/node/proposals.ts";
import type { ForwardOutcome } from "../../src/node/transport.ts";
import { batchOf, onAppended } from "./support.ts";

const newProposals = () =>
  new Proposals({ maxProposals: 5, maxProposalBytes: 1000, leaderWaitMs: 100, proposalTimeoutMs: 500 });

const refused = (reason: Reason): ForwardOutcome => ({ kind: "failed", failure: new Failure(reason, reason) });

/** Takes what waits, which must be something. */
function take(proposals: Proposals): Group {
  const group = proposals.takeGroup();
  assert(group !== undefined, "something waits");
  return group;
}

/** Two batches of two commands and of one, appended from index 7 on in term 3. */
function appended() {
  const proposals = newProposals();
  const batches = [batchOf(2), batchOf(1)] as const;
  for (const batch of batches) proposals.add(batch, 0);
  onAppended(proposals, take(proposals), { index: 7, term: 3 }, 0);
  return { proposals, answers: () => batches.map((batch) => batch.answers) };
}

describe("appended proposals", () => {
  it("are answered with the place of each, once all of their group is committed", () => {
    const { proposals, answers } = appended();
    proposals.onCommitted(8, () => 3);
    expect(answers()).toEqual([[], []]);
    proposals.onCommitted(9, () => 3);
    proposals.onCommitted(9, () => 3);
    expect(answers()).toEqual([["committed 7"], ["committed 9"]]);
    expect(proposals.unanswered).toBe(0);
  });

  it("are not answered by another term's entries that were committed in their place", () => {
    const { proposals, answers } = appended();
    proposals.onCommitted(9, () => 4);
    expect(answers()).toEqual([[], []]);
  });

  it("have an unknown outcome when leadership is lost, when the commit is late and when the node ends", () => {
    const ends = [
      (proposals: Proposals) => proposals.onLeadershipLost(3),
      (proposals: Proposals) => proposals.expire(500, true),
      (proposals: Proposals) => proposals.failAll(new Failure("DRAINING", "the end")),
    ];
    for (const end of ends) {
      const { proposals, answers } = appended();
      end(proposals);
      expect(answers()).toEqual([["OUTCOME_UNKNOWN"], ["OUTCOME_UNKNOWN"]]);
    }
  });

  it("wait on when another term's leadership is lost, and until their time is up", () => {
    const { proposals, answers } = appended();
    proposals.onLeadershipLost(2);
    proposals.expire(499, true);
    expect(answers()).toEqual([[], []]);
  });
});

describe("forwarded proposals", () => {
  const forwarded = (ordered = false) => {
    const proposals = newProposals();
    const batch = batchOf(1, { ordered });
    proposals.add(batch, 0);
    const group = take(proposals);
    proposals.onForwarding(group, 0);
    return { proposals, group, answers: batch.answers };
  };

  it("that were or may have been appended are never sent again (PITFALL 58)", () => {
    for (const outcome of [{ kind: "lost" } as const, refused("OUTCOME_UNKNOWN")]) {
      const { proposals, group, answers } = forwarded();
      proposals.onForwardOutcome(group, outcome);
      expect(answers).toEqual(["OUTCOME_UNKNOWN"]);
      expect(proposals.takeGroup()).toBeUndefined();
    }
  });

  it.each<ForwardOutcome>([{ kind: "notSent" }, refused("NOT_LEADER"), refused("TERM_CHANGED"), refused("DRAINING")])(
    "that were surely not appended wait for the next leader, before later ones",
    (outcome) => {
      const { proposals, group, answers } = forwarded();
      proposals.add(batchOf(2), 0);
      proposals.onForwardOutcome(group, outcome);
      expect(answers).toEqual([]);
      expect(take(proposals).map(({ batch }) => batch.commands.length)).toEqual([1, 2]);
    },
  );

  it("whose caller relies on order are not sent again: later ones may have been appended already", () => {
    const { proposals, group, answers } = forwarded(true);
    proposals.onForwardOutcome(group, refused("TERM_CHANGED"));
    expect(answers).toEqual(["NOT_APPENDED"]);
    expect(proposals.takeGroup()).toBeUndefined();
  });

  it("that the leader doesn't answer in time have an unknown outcome, and a later answer changes nothing", () => {
    const { proposals, group, answers } = forwarded();
    proposals.expire(690, false);
    proposals.onForwardOutcome(group, { kind: "committed", first: { index: 1, term: 1 } });
    expect(answers).toEqual(["OUTCOME_UNKNOWN"]);
  });

  it("from another node are appended by the leader of their term alone, and by no other", () => {
    for (const { leading, current, answer } of [
      { leading: 3, current: 3, answer: [] },
      { leading: 4, current: 4, answer: ["TERM_CHANGED"] },
      { leading: undefined, current: 3, answer: ["NOT_LEADER"] },
    ]) {
      const proposals = newProposals();
      const batch = batchOf(1);
      proposals.add(batch, 0, 3);
      proposals.refuseForwarded(leading, current);
      expect(batch.answers).toEqual(answer);
      expect(proposals.takeGroup() === undefined).toBe(answer.length > 0);
    }
  });
});

it("proposals without an answer are bounded in number and bytes", () => {
  const proposals = newProposals();
  const batches = [batchOf(3), batchOf(3), batchOf(1, { commands: [new Uint8Array(998)] }), batchOf(2)];
  for (const batch of batches) proposals.add(batch, 0);
  expect(batches.map(({ answers }) => answers)).toEqual([[], ["OVERLOADED"], ["OVERLOADED"], []]);
});
