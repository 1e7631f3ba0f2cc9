import { unreachable } from "../assert.ts";
import { Failure } from "../failure.ts";
import type { CommandOutcome, ProposalResult } from "./api.ts";

/** What became of the command at `position` of a batch. */
export function outcomeOf(result: ProposalResult, position: number): CommandOutcome {
  switch (result.kind) {
    case "committed":
      return { index: result.first.index + position, term: result.first.term, duplicate: false };
    case "each":
      return result.outcomes[position] ?? new Failure("OUTCOME_UNKNOWN", "the command got no answer of its own");
    case "failed":
      return result.failure;
    default:
      return unreachable(result);
  }
}

/** Of the result of a request for many commands that of `count` of them, from position `from` on. */
export function partOf(result: ProposalResult, from: number, count: number): ProposalResult {
  switch (result.kind) {
    case "committed":
      return { kind: "committed", first: { index: result.first.index + from, term: result.first.term } };
    case "each":
      return { kind: "each", outcomes: result.outcomes.slice(from, from + count) };
    case "failed":
      return result;
    default:
      return unreachable(result);
  }
}

/** Of a result that doesn't come true what holds all the same: a command that was refused is absent. */
export function lostResult(result: ProposalResult, failure: Failure): ProposalResult {
  if (result.kind !== "each") return { kind: "failed", failure };
  const outcomes = result.outcomes.map((outcome) => (outcome instanceof Failure ? outcome : failure));
  return { kind: "each", outcomes };
}
