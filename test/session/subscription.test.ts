import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesPart, joined, numberPart, textPart } from "../../src/frame/parts.ts";
import {
  decodeSubscriptionOp,
  encodeSubscriptionOp,
  faultOfSubscription,
  MAX_SUBSCRIBER_BYTES,
  type SubscriptionOp,
} from "../../src/session/subscription.ts";
import { anyName, anyOp } from "./support.ts";

describe("what an entry does to the subscribers", () => {
  it("is read as it was written", () => {
    fc.assert(
      fc.property(anyOp, (op) => {
        const bytes = encodeSubscriptionOp(op);
        expect(decodeSubscriptionOp(bytes)).toEqual(op);
        expect(faultOfSubscription(bytes)).toBeUndefined();
      }),
    );
  });

  it("is read from the middle of a larger buffer, as an entry's payload is", () => {
    fc.assert(
      fc.property(anyOp, fc.uint8Array({ maxLength: 9 }), (op, before) => {
        const bytes = encodeSubscriptionOp(op);
        const view = joined([before, bytes, before]).subarray(before.length, before.length + bytes.length);
        expect(decodeSubscriptionOp(view)).toEqual(op);
      }),
    );
  });

  it("is refused when it is cut off, or has something behind it", () => {
    fc.assert(
      fc.property(anyOp, fc.nat(), (op, at) => {
        const bytes = encodeSubscriptionOp(op);
        expect(faultOfSubscription(bytes.subarray(0, at % bytes.length))).toContain("it is no op on subscribers");
        expect(faultOfSubscription(joined([bytes, numberPart(0)]))).toContain("bytes follow the op");
      }),
    );
  });

  it("is refused, and ends nobody, whatever bytes it is; and what is taken means the same once written again", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.integer({ min: 0, max: 4 }), (rest, kind) => {
        const bytes = joined([numberPart(kind), rest]);
        if (faultOfSubscription(bytes) !== undefined) return;
        const op = decodeSubscriptionOp(bytes);
        expect(decodeSubscriptionOp(encodeSubscriptionOp(op))).toEqual(op);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each<[string, Uint8Array]>([
    ["no name", textPart("")],
    ["a name of 65 bytes", textPart("x".repeat(MAX_SUBSCRIBER_BYTES + 1))],
    ["a name of 10 kB", textPart("x".repeat(10_240))],
    ["a name that isn't UTF-8", bytesPart(Uint8Array.of(0x61, 0xff))],
  ])("is refused with %s, whoever forwards it", (_, name) => {
    for (const kind of [1, 3]) {
      expect(faultOfSubscription(joined([numberPart(kind), name, numberPart(1)]))).toContain("subscriber's name");
    }
    const acknowledged = [numberPart(2), numberPart(1), name, numberPart(1), numberPart(1)];
    expect(faultOfSubscription(joined(acknowledged))).toContain("subscriber's name");
  });

  it("may be of a name of 64 bytes", () => {
    fc.assert(
      fc.property(anyName, (name) => {
        expect(Buffer.from(name).length).toBeLessThanOrEqual(MAX_SUBSCRIBER_BYTES);
      }),
    );
    const op: SubscriptionOp = { kind: "open", name: "é".repeat(32), newCursor: 0 };
    expect(decodeSubscriptionOp(encodeSubscriptionOp(op))).toEqual(op);
  });
});
