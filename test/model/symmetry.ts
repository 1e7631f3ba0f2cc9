import type { Locals } from "./locals.ts";
import { leaderOf, MAX_LOCALS, type State, withLeader } from "./state.ts";

/**
 * The nodes can be put in six orders: 0 to 2 turn the ring, 3 to 5 turn it over first. Nodes see each other by their
 * distance on the ring, so turning it changes no local state, and turning it over mirrors them all.
 */
const ORDERS = [0, 1, 2, 3, 4, 5] as const;

/** The node that stands at each place in each order, of the three before. */
const NODE_AT = ORDERS.map((order) =>
  [0, 1, 2].map((place) => (order < 3 ? place - order + 3 : 3 - place + order) % 3),
);
/** Where each node goes. */
const PLACE_OF = NODE_AT.map((nodes) => [0, 1, 2].map((node) => nodes.indexOf(node)));
/** What a message's way becomes: see `messageOf`. */
const WAY_OF = ORDERS.map((order) =>
  [0, 1, 2, 3, 4, 5].map((way) => {
    const hops = (way & 1) + 1;
    return (PLACE_OF[order]?.[way >>> 1] ?? 0) * 2 + (order < 3 ? hops : 3 - hops) - 1;
  }),
);
function reordered(state: State, order: number, locals: Locals): State {
  const at = NODE_AT[order] ?? [];
  const node = (place: number): number => {
    const local = state.nodes[at[place] ?? 0] ?? 0;
    return order < 3 ? local : locals.mirror(local);
  };
  const ways = WAY_OF[order] ?? [];
  const messages: number[] = [];
  for (const message of state.messages) {
    const way = message % 6;
    insert(messages, message - way + (ways[way] ?? 0));
  }
  let led = 0;
  for (let term = 1; state.led >>> (2 * (term - 1)) !== 0; term++) {
    const leader = leaderOf(state.led, term);
    if (leader !== 0) led = withLeader(led, term, PLACE_OF[order]?.[leader - 1] ?? 0);
  }
  return { nodes: [node(0), node(1), node(2)], messages, led, committed: state.committed, budget: state.budget };
}

/** Of all states that are this one with the nodes in another order, the least. */
export function canonical(state: State, locals: Locals): State {
  const [a, b, c] = state.nodes;
  const [x, y, z] = [locals.mirror(a), locals.mirror(b), locals.mirror(c)];
  const turned = [rank(a, b, c), rank(c, a, b), rank(b, c, a), rank(x, z, y), rank(y, x, z), rank(z, y, x)];
  const least = Math.min(...turned);
  let found: State | undefined;
  for (let order = 0; order < 6; order++) {
    if (turned[order] !== least) continue;
    const candidate = order === 0 ? state : reordered(state, order, locals);
    if (found === undefined || isLess(candidate, found)) found = candidate;
  }
  return found ?? state;
}

/** Keeps `messages` in ascending order. */
export function insert(messages: number[], message: number): void {
  let i = messages.length;
  for (; i > 0 && (messages[i - 1] ?? 0) > message; i--) messages[i] = messages[i - 1] ?? 0;
  messages[i] = message;
}

function rank(a: number, b: number, c: number): number {
  return (a * MAX_LOCALS + b) * MAX_LOCALS + c;
}

/** Both have the same nodes at the same places. */
function isLess(a: State, b: State): boolean {
  for (let i = 0; i < a.messages.length; i++) {
    const difference = (a.messages[i] ?? 0) - (b.messages[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return a.led < b.led;
}
