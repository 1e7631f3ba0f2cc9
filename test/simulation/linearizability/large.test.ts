import { describe, expect, it } from "vitest";
import { seededRandom } from "../../support/core.ts";
import { checkLinearizable } from "./checker.ts";
import { asRegister, type KeyValueOperation, type Shape, simulateStore } from "./generate.ts";
import { keyValueModel, registerModel } from "./models.ts";

const RUNS = 100;
const store: Shape = {
  operations: 600,
  clients: 10,
  keys: 10,
  unknown: 30,
  values: undefined,
  kinds: ["read", "read", "write", "append", "compareAndSet"],
  delay: 50,
};
const register: Shape = { ...store, keys: 1, kinds: ["read", "read", "write", "compareAndSet"] };
const fewValues: Shape = { ...register, values: 4 };

/** The same history, but that this read found that value. */
function withAnswer(history: readonly KeyValueOperation[], read: KeyValueOperation, value: string) {
  return history.map((operation) =>
    operation === read && operation.return !== undefined
      ? { ...operation, output: { kind: "found" as const, value } }
      : operation,
  );
}

const reads = (history: readonly KeyValueOperation[]) =>
  history.filter(({ input, output }) => input.kind === "read" && output !== undefined);

/** A read, and a value whose write had returned before another write was called that returned before the read's call. */
function staleAnswers(history: readonly KeyValueOperation[]): { read: KeyValueOperation; value: string }[] {
  return reads(history).flatMap((read) => {
    const written = history
      .filter(({ input }) => input.kind === "write" && input.key === read.input.key)
      .filter((write) => write.return !== undefined && write.return < read.call);
    const [old] = written.filter((one) => written.some((other) => (one.return ?? 0) < other.call));
    return old?.input.kind === "write" ? [{ read, value: old.input.value }] : [];
  });
}

describe("the checker, on histories of 600 operations by ten clients", () => {
  it.each([
    ["a store of ten keys", store, 20_000],
    ["a store without unknown outcomes", { ...store, unknown: 0 }, 10_000],
    ["a store of one key", { ...store, keys: 1 }, 100_000],
  ])("finds an order for what an atomic store answered, in little work: %s", (_, shape, maxWork) => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const verdict = checkLinearizable(keyValueModel, simulateStore(seededRandom(seed), shape), { maxWork });
      expect(verdict.kind, `seed ${seed}`).toBe("linearizable");
    }
  });

  it.each([
    ["each value written once", register, 100_000],
    ["four values", fewValues, 100_000],
  ])("finds an order for what an atomic register answered, in little work: %s", (_, shape, maxWork) => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const history = asRegister(simulateStore(seededRandom(seed), shape));
      expect(checkLinearizable(registerModel(), history, { maxWork }).kind, `seed ${seed}`).toBe("linearizable");
    }
  });

  it("finds none once a read's answer is one that nobody wrote", () => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const random = seededRandom(seed);
      const history = simulateStore(random, store);
      const all = reads(history);
      const read = all[random(all.length)];
      if (read === undefined) continue;
      const verdict = checkLinearizable(keyValueModel, withAnswer(history, read, "never"));
      expect(verdict.kind, `seed ${seed}`).toBe("notLinearizable");
    }
  });

  it("finds none once a read's answer is a value that was overwritten before its call", () => {
    const shape: Shape = { ...store, kinds: ["read", "write"] };
    for (let seed = 1; seed <= RUNS; seed++) {
      const random = seededRandom(seed);
      const history = simulateStore(random, shape);
      const stale = staleAnswers(history);
      const { read, value } = stale[random(stale.length)] ?? {};
      expect(read).toBeDefined();
      if (read === undefined || value === undefined) continue;
      const verdict = checkLinearizable(keyValueModel, withAnswer(history, read, value));
      expect(verdict.kind, `seed ${seed}`).toBe("notLinearizable");
    }
  });
});
