import type { Bounds } from "./bounds.ts";
import { isInert } from "./inert.ts";
import { crashCode, FETCHED, messageCode, PERSIST, PROPOSE, TICK } from "./local-input.ts";
import type { Locals } from "./locals.ts";
import { assertCommit, elected } from "./properties.ts";
import {
  Budget,
  bodyOf,
  crashesLeft,
  duplicatesLeft,
  hopsOf,
  messageOf,
  proposalsLeft,
  receiverOf,
  type State,
  timeoutsLeft,
} from "./state.ts";
import { insert } from "./symmetry.ts";

/** What is left out because it makes no difference. Each is turned off where a test shows that. */
export interface Savings {
  /**
   * Messages are lost only when there is no room for all. A message that is to be lost may as well stay until its place
   * is needed, and of those that are too many any may be lost, old and new. Without it also one at a time, at any moment.
   */
  readonly losesLate: boolean;
  /** Messages that can do nothing any more are forgotten. */
  readonly forgetsInert: boolean;
  /** States that differ only in the nodes' places are one. */
  readonly mergesSymmetric: boolean;
}

/** Of a step only what it leads to counts; where it happened and what it was is for people. -1 is the network. */
export type Visit = (next: State, place: number, code: number) => void;

/** All that can follow a state. */
export class Successors {
  readonly #locals: Locals;
  readonly #bounds: Bounds;
  readonly #savings: Savings;
  readonly #visit: Visit;

  constructor(locals: Locals, bounds: Bounds, savings: Savings, visit: Visit) {
    this.#locals = locals;
    this.#bounds = bounds;
    this.#savings = savings;
    this.#visit = visit;
  }

  of(state: State): void {
    for (let place = 0; place < 3; place++) this.#nodeActs(state, place);
    const { messages } = state;
    for (let i = 0; i < messages.length; i++) {
      if (messages[i] !== messages[i - 1]) this.#networkActs(state, i);
    }
  }

  #nodeActs(state: State, place: number): void {
    const { turnsInProgress, fetches, isLeader } = this.#locals.facts(state.nodes[place] ?? 0);
    const { messages, budget } = state;
    if (isLeader) this.#act(state, place, TICK, messages, budget);
    else if (timeoutsLeft(budget) > 0) this.#act(state, place, TICK, messages, budget - Budget.timeout);
    if (turnsInProgress > 0) this.#act(state, place, PERSIST, messages, budget);
    if (fetches > 0) this.#act(state, place, FETCHED, messages, budget);
    if (isLeader && proposalsLeft(budget) > 0) this.#act(state, place, PROPOSE, messages, budget - Budget.proposal);
    if (crashesLeft(budget) === 0) return;
    for (let durable = 0; durable <= turnsInProgress; durable++) {
      this.#act(state, place, crashCode(durable), messages, budget - Budget.crash);
    }
  }

  #networkActs(state: State, i: number): void {
    const message = state.messages[i] ?? 0;
    const body = bodyOf(message);
    const to = receiverOf(message);
    const rest = without(state.messages, i);
    if (!this.#savings.losesLate) this.#visit({ ...state, messages: rest }, -1, message);
    this.#deliver(state, to, messageCode(body, 3 - hopsOf(message)), rest);
    // Nothing but a request for a vote asks how long ago the leader was heard.
    if (this.#locals.facts(state.nodes[to] ?? 0).hasLease && this.#locals.bodies.isRequestVote(body)) {
      this.#deliver(state, to, messageCode(body, 3 - hopsOf(message), true), rest);
    }
  }

  #deliver(state: State, to: number, code: number, rest: readonly number[]): void {
    this.#act(state, to, code, rest, state.budget);
    // A duplicate is made when the first copy arrives: nobody could tell whether it was there before.
    if (duplicatesLeft(state.budget) > 0) {
      this.#act(state, to, code, state.messages, state.budget - Budget.duplicate);
    }
  }

  #act(state: State, place: number, code: number, messages: readonly number[], budget: number): void {
    const before = state.nodes[place] ?? 0;
    const transition = this.#locals.transition(before, code);
    if (transition === undefined) return;
    const { to, sent } = transition;
    // What changes nothing only loses a message, or spends what may happen once.
    if (to === before && sent.length === 0 && this.#savings.losesLate) return;
    const [a, b, c] = state.nodes;
    const nodes: [number, number, number] = [place === 0 ? to : a, place === 1 ? to : b, place === 2 ? to : c];
    const { currentTerm, isLeader, log, commitIndex } = this.#locals.facts(to);
    const led = isLeader ? elected(state.led, currentTerm, place) : state.led;
    const committed = this.#locals.logs.committed(state.committed, log, commitIndex, currentTerm);
    if (committed !== state.committed) assertCommit(nodes, committed, this.#locals);
    const inFlight: number[] = [];
    for (const message of messages) this.#keep(inFlight, message, nodes);
    for (const { to: receiver, body } of sent) {
      this.#keep(inFlight, messageOf(body, place, receiver === "b" ? 1 : 2), nodes);
    }
    this.#fit({ nodes, messages: inFlight, led, committed, budget }, place, code);
  }

  #keep(inFlight: number[], message: number, nodes: readonly number[]): void {
    if (this.#savings.forgetsInert && isInert(message, nodes, this.#bounds, this.#locals)) return;
    insert(inFlight, message);
  }

  /** All ways to lose so many messages that the others fit. */
  #fit(state: State, place: number, code: number): void {
    const { messages } = state;
    if (messages.length <= this.#bounds.inFlight) return this.#visit(state, place, code);
    for (let i = 0; i < messages.length; i++) {
      if (messages[i] !== messages[i - 1]) this.#fit({ ...state, messages: without(messages, i) }, place, code);
    }
  }
}

function without(messages: readonly number[], i: number): number[] {
  const rest: number[] = [];
  for (let j = 0; j < messages.length; j++) if (j !== i) rest.push(messages[j] ?? 0);
  return rest;
}
