import { NO_CONDITIONS, type ProposalBatch } from "./api.ts";
import type { ForwardedProposals } from "./transport.ts";

/** One request for all of these batches. */
export function toForward(batches: readonly ProposalBatch[], term: number): ForwardedProposals {
  const haveConditions = batches.some(({ conditions }) => conditions !== undefined);
  return {
    kind: "propose",
    term,
    commands: batches.flatMap(({ commands }) => commands),
    conditions: haveConditions
      ? batches.flatMap(({ commands, conditions }) => conditions ?? commands.map(() => NO_CONDITIONS))
      : undefined,
    stopOnError: batches.some(({ stopOnError }) => stopOnError === true),
    isSubscription: batches.some(({ isSubscription }) => isSubscription === true),
  };
}
