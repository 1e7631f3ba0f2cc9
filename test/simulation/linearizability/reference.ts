import type { History, Operation } from "./history.ts";
import type { Model } from "./model.ts";
import { type KeyValueInput, type KeyValueOutput, keyValueModel } from "./models.ts";

/**
 * The definition, word by word: some order of all completed and some unknown operations that the model allows and that
 * has none after one that it precedes. For up to some six operations.
 */
export function isLinearizableByDefinition<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: History<Input, Output>,
): boolean {
  const completed = history.filter((operation) => operation.return !== undefined).length;
  const tryAll = (order: History<Input, Output>, state: State): boolean => {
    if (order.filter((operation) => operation.return !== undefined).length === completed && keepsRealTime(order)) {
      return true;
    }
    return history.some((operation) => {
      if (order.includes(operation)) return false;
      const next = model.step(state, operation.input, operation.output);
      return next !== undefined && tryAll([...order, operation], next);
    });
  };
  return tryAll([], model.init());
}

function keepsRealTime(order: History<unknown, unknown>): boolean {
  return order.every((later, i) => order.slice(0, i).every((earlier) => !precedes(later, earlier)));
}

function precedes(one: Operation<unknown, unknown>, other: Operation<unknown, unknown>): boolean {
  return one.return !== undefined && one.return < other.call;
}

/** All keys in one state, without any of the shortcuts that a model may offer. */
export const wholeStoreModel: Model<ReadonlyMap<string, string>, KeyValueInput, KeyValueOutput> = {
  init: () => new Map(),
  step: (state, input, output) => {
    const value = keyValueModel.step(state.get(input.key) ?? "", input, output);
    return value === undefined ? undefined : new Map([...state, [input.key, value]]);
  },
  key: (state) => JSON.stringify([...state].filter(([, value]) => value !== "").sort()),
  describe: keyValueModel.describe,
};

/** A model's rules alone: every order is tried. */
export function withoutShortcuts<State, Input, Output>({
  init,
  step,
  key,
  describe,
}: Model<State, Input, Output>): Model<State, Input, Output> {
  return { init, step, key, describe };
}
