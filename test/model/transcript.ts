import { describe } from "./bodies.ts";
import type { Bounds } from "./bounds.ts";
import { inputOf } from "./local-input.ts";
import type { Locals } from "./locals.ts";
import { bodyOf, pack, receiverOf, type State, senderOf, WORDS } from "./state.ts";
import { type Savings, Successors } from "./successors.ts";
import { canonical } from "./symmetry.ts";

const NAMES = ["a", "b", "c"] as const;

/**
 * What happened on a path, a line a step. On the path each state has its nodes in whatever order comes first; here they
 * keep their names: from each state that successor is taken which is the path's next one but for the order.
 */
export function transcript(path: readonly State[], locals: Locals, bounds: Bounds, savings: Savings): string[] {
  const lines: string[] = [];
  let [state] = path;
  for (const next of path.slice(1)) {
    const wanted = keyOf(next, locals, savings);
    let found: State | undefined;
    const successors = new Successors(locals, bounds, savings, (candidate, place, code) => {
      if (found !== undefined || keyOf(candidate, locals, savings) !== wanted) return;
      found = candidate;
      lines.push(line(state, place, code, locals));
    });
    if (state !== undefined) successors.of(state);
    state = found;
  }
  if (state !== undefined) lines.push(`then, from ${summary(state, locals)}`);
  return lines;
}

function keyOf(state: State, locals: Locals, { mergesSymmetric }: Savings): string {
  const words = new Uint32Array(WORDS);
  pack(mergesSymmetric ? canonical(state, locals) : state, words);
  return words.join();
}

function line(state: State | undefined, place: number, code: number, locals: Locals): string {
  if (place === -1) return `lost: ${wayText(code)} ${bodyText(bodyOf(code), locals)}`;
  const name = NAMES[place];
  const input = inputOf(code);
  if (input.kind === "crash") return `${name} crashes, ${input.durableTurns} turns in progress were durable`;
  if (input.kind !== "message") {
    const { isLeader } = locals.facts(state?.nodes[place] ?? 0);
    return `${name} ${input.kind === "tick" ? (isLeader ? "ticks as leader" : "times out") : input.kind}`;
  }
  const hops = input.from === "b" ? 1 : 2;
  return `${name} hears ${NAMES[(place + hops) % 3]}${input.isLate ? " after the lease" : ""}: ${bodyText(input.body, locals)}`;
}

function wayText(message: number): string {
  return `${NAMES[senderOf(message)]} to ${NAMES[receiverOf(message)]}`;
}

function bodyText(body: number, locals: Locals): string {
  return describe(locals.bodies.message(body, "b"));
}

function summary(state: State, locals: Locals): string {
  const nodes = state.nodes.map((node, i) => {
    const { currentTerm, isLeader, commitIndex, log } = locals.facts(node);
    const terms = locals.logs.entries(log).map(({ term }) => term);
    return `${NAMES[i]}: term ${currentTerm}${isLeader ? " leads" : ""}, log [${terms}], commit ${commitIndex}`;
  });
  const wires = state.messages.map((m) => `${wayText(m)} ${bodyText(bodyOf(m), locals)}`);
  return [...nodes, ...wires].join("; ");
}
