import type { UnknownOperation } from "./history.ts";
import type { Shortcuts } from "./model.ts";

/**
 * Unknown operations that take effect one after the other, right before a completed one. They are needed nowhere else:
 * nothing tells when an unknown operation took effect but what a completed one finds. The empty run has no `last`.
 */
export interface Run<State> {
  readonly state: State;
  readonly stateId: number;
  readonly last: { readonly operation: number; readonly before: Run<State> } | undefined;
}

export function runOperations<State>(run: Run<State>): number[] {
  const operations: number[] = [];
  for (let { last } = run; last !== undefined; last = last.before.last) operations.push(last.operation);
  return operations.reverse();
}

export function runHas<State>(run: Run<State>, operation: number): boolean {
  for (let { last } = run; last !== undefined; last = last.before.last) if (last.operation === operation) return true;
  return false;
}

/** Whether another run comes to the same state with some of these operations only. */
export function isDominated<State>(run: Run<State>, others: readonly Run<State>[]): boolean {
  return others.some((other) => {
    if (other.stateId !== run.stateId) return false;
    for (let { last } = other; last !== undefined; last = last.before.last) {
      if (!runHas(run, last.operation)) return false;
    }
    return true;
  });
}

/** Of each unknown operation, in the order of their calls: the one before it that has the same effect, or undefined. */
export function findTwins<State, Input>(
  unknown: readonly UnknownOperation<Input>[],
  shortcuts: Shortcuts<State, Input> | undefined,
): (number | undefined)[] {
  if (shortcuts === undefined) return [];
  const latest = new Map<string, number>();
  return unknown.map(({ input }, i) => {
    const effect = shortcuts.effect(input);
    const twin = latest.get(effect);
    latest.set(effect, i);
    return twin;
  });
}
