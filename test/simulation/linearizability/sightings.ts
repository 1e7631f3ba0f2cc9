import type { Shortcuts } from "./model.ts";

/** What the clients' answers tell about the states of one register or key. */
export interface Sightings<Value> {
  /** States that a completed operation found, or that an unknown one may have acted on. */
  readonly found: readonly Value[];
  /** States that a completed operation did not find. */
  readonly missed: readonly Value[];
}

/** Tells whether a state is one of those given, or may be made into one without being overwritten. */
type LeadsToOneOf<Value> = (targets: readonly Value[]) => (state: Value) => boolean;

/**
 * A state that leads to none of those that were found or missed is unseen: one such state is like any other. An unknown
 * operation matters in two cases only. Its new state, or what becomes of it, is found by an operation; or its old state
 * would have been, and an operation missed it. Otherwise all goes the same without it, until the state is overwritten.
 */
export function shortcutsFrom<Value extends string | number, Input>(
  { found, missed }: Sightings<Value>,
  leadsToOneOf: LeadsToOneOf<Value>,
  /** What the input makes of every state, if that is always the same. */
  overwritesWith: (input: Input) => Value | undefined,
): Shortcuts<Value, Input> {
  const isFound = leadsToOneOf(found);
  const isMissed = leadsToOneOf(missed);
  const isUnseen = (state: Value) => !isFound(state) && !isMissed(state);
  return {
    key: (state) => (isUnseen(state) ? UNSEEN : state),
    matters: (before, after) => isFound(after) || isMissed(before),
    effect: (input) => {
      const value = overwritesWith(input);
      return value !== undefined && isUnseen(value) ? UNSEEN : JSON.stringify(input);
    },
  };
}

/** Something that no client writes. */
const UNSEEN = "\u0000unseen";

/** For states that are only ever replaced. */
export function isOneOf<Value>(targets: readonly Value[]): (state: Value) => boolean {
  const set = new Set(targets);
  return (state) => set.has(state);
}

/** For states that may be appended to. */
export function isPrefixOfOneOf(targets: readonly string[]): (state: string) => boolean {
  const sorted = [...new Set(targets)].sort();
  return (state) => {
    // Those that start with the state are the first ones that are not less.
    let from = 0;
    let to = sorted.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if ((sorted[middle] ?? "") < state) from = middle + 1;
      else to = middle;
    }
    return sorted[from]?.startsWith(state) ?? false;
  };
}
