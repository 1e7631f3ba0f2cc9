import { describe, expect, it } from "vitest";
import { Failure } from "../../src/failure.ts";
import { indexFromWire, termFromWire, toWire } from "../../src/grpc/uint64.ts";
import { MAX_INDEX, MAX_TERM } from "../../src/raft/types.ts";

describe("numbers from the wire", () => {
  it("reads everything from 0 to the largest index and term exactly", () => {
    expect(indexFromWire(0n, "index")).toBe(0);
    expect(indexFromWire(BigInt(MAX_INDEX), "index")).toBe(MAX_INDEX);
    expect(termFromWire(BigInt(MAX_TERM) - 1n, "term")).toBe(MAX_TERM - 1);
  });

  it.each([BigInt(MAX_TERM) + 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n])(
    "refuses %s, naming the field",
    (value) => {
      const refused = catchFailure(() => termFromWire(value, "last_log_term"));
      expect(refused.reason).toBe("INVALID_ARGUMENT");
      expect(refused.violations[0]?.field).toBe("last_log_term");
    },
  );

  it("writes safe integers only", () => {
    expect(toWire(MAX_INDEX)).toBe(2n ** 52n);
    expect(() => toWire(-1)).toThrow("is not a uint64");
    expect(() => toWire(0.5)).toThrow("is not a uint64");
  });
});

function catchFailure(run: () => unknown): Failure {
  try {
    run();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}
