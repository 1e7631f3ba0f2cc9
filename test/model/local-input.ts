/**
 * What can happen to one node. Nodes are seen from themselves: each is "a", the next one on the ring is "b", the one
 * after that "c", so that what one node can do needs to be found out once and not three times.
 */
export type LocalInput =
  /** A leader's clock ticks; anybody else's goes on to where its election timer fires. */
  | { readonly kind: "tick" }
  /** The disk completes the oldest turn. */
  | { readonly kind: "persist" }
  | { readonly kind: "fetched" }
  | { readonly kind: "propose" }
  /** This many turns had become durable without a word of it; what the others wrote is lost. The node starts again. */
  | { readonly kind: "crash"; readonly durableTurns: number }
  /** With `isLate` only once the leader's lease has run out. */
  | { readonly kind: "message"; readonly from: "b" | "c"; readonly body: number; readonly isLate: boolean };

const FIRST_CRASH = 4;
const FIRST_MESSAGE = 20;

export const TICK = 0;
export const PERSIST = 1;
export const FETCHED = 2;
export const PROPOSE = 3;

export function crashCode(durableTurns: number): number {
  return FIRST_CRASH + durableTurns;
}

/** `hops` is how far the sender lies from the receiver on the ring: 1 for "b", 2 for "c". */
export function messageCode(body: number, hops: number, isLate = false): number {
  return FIRST_MESSAGE + body * 4 + (isLate ? 2 : 0) + hops - 1;
}

/** The input that a number stands for: numbers make tables small. */
export function inputOf(code: number): LocalInput {
  if (code === TICK) return { kind: "tick" };
  if (code === PERSIST) return { kind: "persist" };
  if (code === FETCHED) return { kind: "fetched" };
  if (code === PROPOSE) return { kind: "propose" };
  if (code < FIRST_MESSAGE) return { kind: "crash", durableTurns: code - FIRST_CRASH };
  const rest = code - FIRST_MESSAGE;
  return { kind: "message", from: rest % 2 === 0 ? "b" : "c", body: rest >>> 2, isLate: (rest & 2) !== 0 };
}

/** The same input with b and c in each other's place. */
export function mirroredCode(code: number): number {
  return code < FIRST_MESSAGE ? code : FIRST_MESSAGE + ((code - FIRST_MESSAGE) ^ 1);
}
