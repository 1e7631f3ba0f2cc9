import { InvariantError } from "../../src/assert.ts";
import type { Bounds } from "./bounds.ts";
import { Locals } from "./locals.ts";
import { assertState } from "./properties.ts";
import { budgetOf, pack, type State, unpack, WORDS } from "./state.ts";
import { type Savings, Successors } from "./successors.ts";
import { canonical } from "./symmetry.ts";
import { Visited } from "./visited.ts";
import { TRUE_WORLD, type World } from "./world.ts";

export interface Options {
  readonly bounds: Bounds;
  readonly world?: World;
  readonly savings?: Partial<Savings>;
  /** Of an earlier exploration with the same bounds and world, to go on with its numbers. */
  readonly locals?: Locals;
  readonly onProgress?: (progress: Progress) => void;
  /** Asked every now and then whether to stop before the end. */
  readonly isEnough?: (progress: Progress) => boolean;
}

export interface Progress {
  readonly states: number;
  readonly explored: number;
  readonly transitions: number;
  readonly depth: number;
  readonly localStates: number;
  readonly localTransitions: number;
  readonly bytes: number;
}

export interface Violation {
  readonly message: string;
  /** From the start to the state in which it happens. */
  readonly path: readonly State[];
}

export interface Exploration extends Progress {
  /** All states were explored: nothing else can happen within the bounds. */
  readonly isComplete: boolean;
  readonly violation: Violation | undefined;
  readonly visited: Visited;
  readonly locals: Locals;
}

const PROGRESS_EVERY = 50_000;
export const ALL_SAVINGS: Savings = { losesLate: true, forgetsInert: true, mergesSymmetric: true };

/** Breadth first, so that a violation is found by a shortest path. */
export function explore(options: Options): Exploration {
  const { bounds, onProgress, isEnough } = options;
  const locals = options.locals ?? new Locals(bounds, options.world ?? TRUE_WORLD);
  const savings = { ...ALL_SAVINGS, ...options.savings };
  const visited = new Visited();
  const words = new Uint32Array(WORDS);
  let explored = 0;
  let transitions = 0;
  let depth = 0;
  const meet = (state: State): void => {
    transitions++;
    pack(savings.mergesSymmetric ? canonical(state, locals) : state, words);
    if (visited.add(words, explored)) assertState(state, locals);
  };
  const progress = (): Progress => ({
    states: visited.count,
    explored,
    transitions,
    depth,
    localStates: locals.count,
    localTransitions: locals.transitionsRun,
    bytes: visited.bytes,
  });
  const end = (violation: Violation | undefined): Exploration => ({
    ...progress(),
    isComplete: explored === visited.count,
    violation,
    visited,
    locals,
  });
  const successors = new Successors(locals, bounds, savings, meet);
  meet(initialState(locals, bounds));
  let levelEnd = visited.count;
  try {
    for (; explored < visited.count; explored++) {
      if (explored === levelEnd) {
        depth++;
        levelEnd = visited.count;
      }
      if (explored % PROGRESS_EVERY === 0) {
        const now = progress();
        onProgress?.(now);
        if (isEnough?.(now) === true) break;
      }
      visited.read(explored, words);
      successors.of(unpack(words));
    }
  } catch (error) {
    if (!(error instanceof InvariantError)) throw error;
    return end({ message: error.message, path: pathTo(explored, visited) });
  }
  return end(undefined);
}

function initialState(locals: Locals, { crashes, duplicates, proposals, timeouts }: Bounds): State {
  const node = locals.boot();
  return {
    nodes: [node, node, node],
    messages: [],
    led: 0,
    committed: locals.logs.numberOf([], []),
    budget: budgetOf(crashes, duplicates, proposals, timeouts),
  };
}

function pathTo(place: number, visited: Visited): State[] {
  const path: State[] = [];
  const words = new Uint32Array(WORDS);
  for (let at = place; ; at = visited.parent(at)) {
    visited.read(at, words);
    path.unshift(unpack(words));
    if (at === 0) return path;
  }
}
