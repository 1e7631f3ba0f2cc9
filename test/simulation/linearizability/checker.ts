import { assert } from "../../../src/assert.ts";
import { explain } from "./explain.ts";
import type { CompletedOperation, History } from "./history.ts";
import type { Model } from "./model.ts";
import { Search } from "./search.ts";

export type Verdict<Input, Output> = { readonly work: number } & (
  | { readonly kind: "linearizable" }
  | {
      readonly kind: "notLinearizable";
      /** Several lines, for people. */
      readonly explanation: string;
      /** The longest order found in the part (of one key, say) that has none for all of its operations. */
      readonly longest: History<Input, Output>;
      /** One of these would have to come after it; the first to return is first. */
      readonly stuck: readonly CompletedOperation<Input, Output>[];
    }
  /** More than the allowed work: nothing is known. */
  | { readonly kind: "unknown" }
);

export interface CheckOptions {
  /** Of one part: steps of the model and comparisons of configurations. A million may take a second or more. */
  readonly maxWork?: number;
}

const DEFAULT_MAX_WORK = 1_000_000;

/**
 * Whether there is one order of all completed operations, and of some of the unknown ones, that the model allows and in
 * which no operation comes before one that had returned before its call.
 */
export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: History<Input, Output>,
  { maxWork = DEFAULT_MAX_WORK }: CheckOptions = {},
): Verdict<Input, Output> {
  for (const { client, call, return: returned } of history) {
    assert(
      returned === undefined || call <= returned,
      `what ${client} called at ${call} returns later, not at ${returned}`,
    );
  }
  let work = 0;
  let gaveUp = false;
  for (const part of model.partition?.(history) ?? [history]) {
    const search = new Search(model, part);
    const result = search.run(maxWork);
    work += search.work;
    if (result.kind === "impossible") {
      const { placed: longest, stuck } = result.deepest;
      return { kind: "notLinearizable", explanation: explain(model, result.deepest), longest, stuck, work };
    }
    // Goes on: another part may still be proved wrong.
    if (result.kind === "gaveUp") gaveUp = true;
  }
  return { kind: gaveUp ? "unknown" : "linearizable", work };
}
