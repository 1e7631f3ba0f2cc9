import { Failure, type Reason } from "../../src/failure.ts";
import type { ProposalResult } from "../../src/node/api.ts";
import { outcomeOf } from "../../src/node/proposal-result.ts";

/** How a batch's command ended: at which index, or why not. */
export function placeOrReason(result: ProposalResult, position = 0): number | Reason {
  const outcome = outcomeOf(result, position);
  return outcome instanceof Failure ? outcome.reason : outcome.index;
}
