import fc from "fast-check";
import { expect, it } from "vitest";
import { checkLinearizable } from "./checker.ts";
import type { History } from "./history.ts";
import { type RegisterInput, type RegisterOutput, registerModel } from "./models.ts";
import { isWitness } from "./witness.ts";

const anyOperation = fc
  .record({
    client: fc.constantFrom("a", "b", "c"),
    call: fc.nat(8),
    lasts: fc.option(fc.nat(4), { nil: undefined }),
    input: fc.oneof(
      fc.constant({ kind: "read" as const }),
      fc.record({ kind: fc.constant("write" as const), value: fc.nat(2) }),
      fc.record({ kind: fc.constant("compareAndSet" as const), expected: fc.nat(2), value: fc.nat(2) }),
    ),
    found: fc.nat(2),
    isDone: fc.boolean(),
  })
  .map(({ client, call, lasts, input, found, isDone }) => {
    if (lasts === undefined) return { client, call, input, return: undefined, output: undefined };
    const output: RegisterOutput =
      input.kind === "read"
        ? { kind: "found", value: found }
        : { kind: input.kind === "write" || isDone ? "done" : "mismatch" };
    return { client, call, input, return: call + lasts, output };
  });
const anyOrder: fc.Arbitrary<History<RegisterInput, RegisterOutput>> = fc.array(anyOperation, { maxLength: 4 });

it("an order that is a witness is of a history that the search finds linearizable", () => {
  let witnesses = 0;
  fc.assert(
    fc.property(anyOrder, (order) => {
      if (!isWitness(registerModel(), order)) return;
      witnesses++;
      expect(checkLinearizable(registerModel(), order).kind).toBe("linearizable");
    }),
    { numRuns: 20_000 },
  );
  expect(witnesses).toBeGreaterThan(1_000);
});

it("of a linearizable history some order is a witness", () => {
  fc.assert(
    fc.property(anyOrder, (history) => {
      const completed = history.filter((operation) => operation.return !== undefined);
      const isLinearizable = checkLinearizable(registerModel(), completed).kind === "linearizable";
      const orders = permutations(completed);
      expect(orders.some((order) => isWitness(registerModel(), order))).toBe(isLinearizable);
    }),
    { numRuns: 2_000 },
  );
});

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}
