import { parentPort } from "node:worker_threads";
import { assert } from "../../src/assert.ts";
import { planOf } from "./plan.ts";
import { type Outcome, runPlan } from "./seed.ts";

/** Which seeds to run, and whether each twice, to see that it gives the same trace. */
export interface Order {
  readonly first: number;
  readonly count: number;
  readonly twice: boolean;
}

export type Report =
  | { readonly kind: "done"; readonly seed: number; readonly outcome: Outcome }
  | { readonly kind: "failed"; readonly seed: number; readonly message: string }
  | { readonly kind: "started"; readonly seed: number }
  | { readonly kind: "idle" };

/** What is wrong with a seed, or what came of it. */
export function runSeed(seed: number, twice: boolean): Report {
  try {
    const outcome = runPlan(planOf(seed));
    const again = twice ? runPlan(planOf(seed)).digest : outcome.digest;
    assert(again === outcome.digest, "two runs of this seed differ: something undecided has leaked in");
    return { kind: "done", seed, outcome };
  } catch (error) {
    return { kind: "failed", seed, message: error instanceof Error ? error.message : String(error) };
  }
}

// Refusals are errors, and there are many; whoever wants the stack of one replays its seed.
if (parentPort !== null) Error.stackTraceLimit = 0;
parentPort?.on("message", ({ first, count, twice }: Order) => {
  for (let seed = first; seed < first + count; seed++) {
    parentPort?.postMessage({ kind: "started", seed } satisfies Report);
    parentPort?.postMessage(runSeed(seed, twice));
  }
  parentPort?.postMessage({ kind: "idle" } satisfies Report);
});
