import { assert } from "../assert.ts";
import { Failure } from "../failure.ts";
import { MAX_INDEX, MAX_TERM } from "../raft/types.ts";

/**
 * The one place where the wire's uint64 becomes a safe integer and back. What is out of range is refused with
 * INVALID_ARGUMENT, to clients and to peers alike: it never reaches the core.
 */

/** A uint64 of the wire: a number up to 2^53 - 1, and above it a bigint, so that nothing is lost. */
export type Uint64 = number | bigint;

/** The same value, as a number where that is exact: a bigint is an object of its own. */
export function fewerBigints(value: bigint): Uint64 {
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** An index or a message's sequence from outside, 0 to MAX_INDEX. `field` is its path in the proto. */
export function indexFromWire(value: Uint64, field: string): number {
  return numberFromWire(value, MAX_INDEX, field);
}

/** A term from outside, 0 to MAX_TERM. */
export function termFromWire(value: Uint64, field: string): number {
  return numberFromWire(value, MAX_TERM, field);
}

/** A proposer's sequence from outside, 0 to 2^53 - 1. */
export function sequenceFromWire(value: Uint64, field: string): number {
  return numberFromWire(value, Number.MAX_SAFE_INTEGER, field);
}

/** A number of bytes from outside, 0 to 2^53 - 1. */
export function bytesFromWire(value: Uint64, field: string): number {
  return numberFromWire(value, Number.MAX_SAFE_INTEGER, field);
}

/** A safe integer from 0 as a uint64. */
export function toWire(value: number): bigint {
  assert(Number.isSafeInteger(value) && value >= 0, `${value} is not a uint64`);
  return BigInt(value);
}

function numberFromWire(value: Uint64, max: number, field: string): number {
  // A value above 2^53 rounds, but never below the maximum.
  const number = Number(value);
  if (number <= max) return number;
  throw invalidArgument(field, `must be at most ${max}, is ${value}`);
}

/** INVALID_ARGUMENT for one field. */
export function invalidArgument(field: string, description: string): Failure {
  return new Failure("INVALID_ARGUMENT", `${field}: ${description}`, { violations: [{ field, description }] });
}
