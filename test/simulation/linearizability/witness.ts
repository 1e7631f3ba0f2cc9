import type { History } from "./history.ts";
import type { Model } from "./model.ts";

/**
 * Whether the history, in the order in which it is given, is what Wing and Gong's search looks for: the model allows each step, and
 * no operation stands before one that had returned before its call.
 */
export function isWitness<State, Input, Output>(
  model: Model<State, Input, Output>,
  order: History<Input, Output>,
): boolean {
  return (model.partition?.(order) ?? [order]).every((part) => {
    let state = model.init();
    let latestCall = Number.NEGATIVE_INFINITY;
    for (const { call, input, output, return: returned } of part) {
      latestCall = Math.max(latestCall, call);
      if (returned !== undefined && returned < latestCall) return false;
      const next = model.step(state, input, output);
      if (next === undefined) return false;
      state = next;
    }
    return true;
  });
}
