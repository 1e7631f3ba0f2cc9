import fc from "fast-check";
import { SessionsEncoder } from "../../src/session/checkpoint.ts";
import type { SessionTable } from "../../src/session/session-table.ts";
import { MAX_SUBSCRIBER_BYTES, type SubscriptionOp } from "../../src/session/subscription.ts";

/** A table's checkpoint, made at once; equal for equal tables. */
export function encodeSessions(table: SessionTable): Uint8Array {
  const bytes = new SessionsEncoder(table).write(Number.POSITIVE_INFINITY);
  if (bytes === undefined) throw new Error("an encoder without a limit isn't done");
  return bytes;
}

/** A durable subscriber's. */
export const anyName = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 12 })
  .filter((name) => Buffer.from(name).length <= MAX_SUBSCRIBER_BYTES);

/** What an entry may do to subscribers of these names, with numbers up to `max`. */
export function anyOpOf(name: fc.Arbitrary<string>, max: number): fc.Arbitrary<SubscriptionOp> {
  const number = fc.integer({ min: 0, max });
  const cursors = fc.array(fc.record({ name, generation: number, cursor: number }), { maxLength: 4 });
  return fc.oneof(
    fc.record({ kind: fc.constant("open" as const), name, newCursor: number }),
    fc.record({ kind: fc.constant("acknowledge" as const), cursors }),
    fc.record({ kind: fc.constant("remove" as const), name, upTo: number }),
  );
}

export const anyOp = anyOpOf(anyName, Number.MAX_SAFE_INTEGER);
