import { expect, it } from "vitest";
import { Failure, type Reason } from "../../src/failure.ts";
import { type Group, Proposals } from "../../src/node/proposals.ts";
import { placeOrReason } from "../support/outcome.ts";

const LIMITS = { maxProposals: 10, maxProposalBytes: 100, leaderWaitMs: 1_000, proposalTimeoutMs: 5_000 };

/** Proposals, and how each that was added ended: its index, or the reason why it has none. */
function proposalsWithAnswers() {
  const proposals = new Proposals(LIMITS);
  const answers: (number | Reason)[] = [];
  const add = (command: string, ordered = false): void =>
    proposals.add(
      {
        commands: [Buffer.from(command)],
        deadlineMs: undefined,
        ordered,
        done: (result) => answers.push(placeOrReason(result)),
      },
      0,
    );
  const forward = (): Group => {
    const group = proposals.takeGroup();
    if (group === undefined) throw new Error("something waits");
    proposals.onForwarding(group, 0);
    return group;
  };
  return { proposals, answers, add, forward };
}

it.each(["NOT_LEADER", "TERM_CHANGED", "DRAINING", "DATA_LOSS"] as const)(
  "waits for the next leader when the one it was forwarded to answers %s: it was not appended there",
  (reason) => {
    const { proposals, answers, add, forward } = proposalsWithAnswers();
    add("a");
    add("b", true);
    const failure = new Failure(reason, "nothing was appended");
    proposals.onForwardOutcome(forward(), { kind: "failed", failure });
    // What was proposed later on its stream may be appended already.
    expect(answers).toEqual(["NOT_APPENDED"]);
    proposals.onForwardOutcome(forward(), { kind: "committed", first: { index: 7, term: 2 } });
    expect(answers).toEqual(["NOT_APPENDED", 7]);
  },
);
