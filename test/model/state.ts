import { assert } from "../../src/assert.ts";

/** Three nodes on a ring, what is between them, and what only we know. */
export interface State {
  /** Each node's local state. */
  readonly nodes: readonly [number, number, number];
  /** In flight, in ascending order: see `messageOf`. */
  readonly messages: readonly number[];
  /** Two bits a term: 0 when nobody has led it, else 1 and the leader's place. */
  readonly led: number;
  /** All that was ever committed, a number of `Logs`. */
  readonly committed: number;
  /** See `Budget`. */
  readonly budget: number;
}

/** What may still happen on this path, counted in a few bits each. */
export const Budget = { crash: 1, duplicate: 1 << 2, proposal: 1 << 4, timeout: 1 << 7 } as const;

export function budgetOf(crashes: number, duplicates: number, proposals: number, timeouts: number): number {
  assert(crashes < 4 && duplicates < 4 && proposals < 8 && timeouts < 8, "the bounds do not fit");
  return (
    crashes * Budget.crash + duplicates * Budget.duplicate + proposals * Budget.proposal + timeouts * Budget.timeout
  );
}

export function crashesLeft(budget: number): number {
  return budget & 3;
}

export function duplicatesLeft(budget: number): number {
  return (budget >>> 2) & 3;
}

export function proposalsLeft(budget: number): number {
  return (budget >>> 4) & 7;
}

export function timeoutsLeft(budget: number): number {
  return (budget >>> 7) & 7;
}

/**
 * A message is its body's number and its way: the sender's place, and how many hops ahead on the ring the receiver is,
 * 1 or 2.
 */
export function messageOf(body: number, from: number, hops: number): number {
  return body * 6 + from * 2 + hops - 1;
}

export function bodyOf(message: number): number {
  return (message / 6) | 0;
}

export function senderOf(message: number): number {
  return (message % 6) >>> 1;
}

export function hopsOf(message: number): number {
  return (message & 1) + 1;
}

export function receiverOf(message: number): number {
  return (senderOf(message) + hopsOf(message)) % 3;
}

/** 0 when nobody has led the term, else 1 and the leader's place. */
export function leaderOf(led: number, term: number): number {
  return (led >>> (2 * (term - 1))) & 3;
}

export function withLeader(led: number, term: number, place: number): number {
  return led | ((place + 1) << (2 * (term - 1)));
}

/** A packed state's length. */
export const WORDS = 6;
const NO_MESSAGE = 0xffff;
const MAX_TERMS = 3;
/** Local states are fewer than this: three of them make one exact number. */
export const MAX_LOCALS = 200_000;

export function pack({ nodes, messages, led, committed, budget }: State, words: Uint32Array): void {
  const n = messages.length;
  assert(n <= 4 && (messages[n - 1] ?? 0) < NO_MESSAGE && led < 1 << (2 * MAX_TERMS), "the state does not fit");
  for (let i = 0; i < 3; i++) words[i] = nodes[i] ?? 0;
  words[3] = (n > 0 ? (messages[0] ?? 0) : NO_MESSAGE) | ((n > 1 ? (messages[1] ?? 0) : NO_MESSAGE) << 16);
  words[4] = (n > 2 ? (messages[2] ?? 0) : NO_MESSAGE) | ((n > 3 ? (messages[3] ?? 0) : NO_MESSAGE) << 16);
  words[5] = committed | (led << 16) | (budget << 22);
}

export function unpack(words: Uint32Array): State {
  const messages: number[] = [];
  for (let i = 0; i < 4; i++) {
    const message = ((words[3 + (i >>> 1)] ?? 0) >>> (16 * (i & 1))) & 0xffff;
    if (message !== NO_MESSAGE) messages.push(message);
  }
  const rest = words[5] ?? 0;
  return {
    nodes: [words[0] ?? 0, words[1] ?? 0, words[2] ?? 0],
    messages,
    led: (rest >>> 16) & 63,
    committed: rest & 0xffff,
    budget: rest >>> 22,
  };
}
