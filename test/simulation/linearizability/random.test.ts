import { describe, expect, it } from "vitest";
import { seededRandom } from "../../support/core.ts";
import { checkLinearizable } from "./checker.ts";
import { asRegister, disturb, type KeyValueOperation, type Random, type Shape, simulateStore } from "./generate.ts";
import type { History } from "./history.ts";
import type { Model } from "./model.ts";
import { keyValueModel, registerModel } from "./models.ts";
import { isLinearizableByDefinition, wholeStoreModel, withoutShortcuts } from "./reference.ts";

const RUNS = 6_000;

const tiny = { operations: 6, clients: 3, unknown: 2, values: 2, delay: 3 };
const register: Shape = { ...tiny, keys: 1, kinds: ["read", "read", "write", "compareAndSet"] };
const appends: Shape = { ...tiny, keys: 1, kinds: ["read", "read", "write", "append", "compareAndSet"] };
const twoKeys: Shape = { ...appends, keys: 2 };

function tinyHistory(random: Random, shape: Shape): KeyValueOperation[] {
  let history = simulateStore(random, { ...shape, operations: 1 + random(shape.operations) });
  for (let changes = random(10); changes > 0; changes--) history = disturb(random, history);
  return history;
}

function isLinearizable<S, I, O>(model: Model<S, I, O>, history: History<I, O>): boolean {
  const { kind } = checkLinearizable(model, history);
  expect(kind).not.toBe("unknown");
  return kind === "linearizable";
}

/** Compares two answers over many seeds, and sees to it that both answers are common. */
function expectSameAnswers(answers: (seed: number) => readonly [boolean, boolean]): void {
  let good = 0;
  for (let seed = 1; seed <= RUNS; seed++) {
    const [actual, expected] = answers(seed);
    expect(actual, `seed ${seed}`).toBe(expected);
    if (expected) good++;
  }
  expect(good).toBeGreaterThan(RUNS / 5);
  expect(RUNS - good).toBeGreaterThan(RUNS / 5);
}

describe("the checker, on random histories of up to six operations", () => {
  it("answers as the definition does, for a register", () => {
    expectSameAnswers((seed) => {
      const history = asRegister(tinyHistory(seededRandom(seed), register));
      const model = registerModel();
      return [isLinearizable(model, history), isLinearizableByDefinition(model, history)];
    });
  });

  it("answers as the definition does, for a key with appends", () => {
    expectSameAnswers((seed) => {
      const history = tinyHistory(seededRandom(seed), appends);
      return [isLinearizable(keyValueModel, history), isLinearizableByDefinition(keyValueModel, history)];
    });
  });

  it("answers as the definition does where a model offers no shortcut", () => {
    expectSameAnswers((seed) => {
      const history = tinyHistory(seededRandom(seed), appends);
      const plain = withoutShortcuts(keyValueModel);
      return [isLinearizable(plain, history), isLinearizableByDefinition(plain, history)];
    });
  });

  it("answers for a store key by key as for the whole store", () => {
    expectSameAnswers((seed) => {
      const history = tinyHistory(seededRandom(seed), twoKeys);
      return [isLinearizable(keyValueModel, history), isLinearizable(wholeStoreModel, history)];
    });
  });

  it("answers as the definition does, for a whole store", () => {
    expectSameAnswers((seed) => {
      const history = tinyHistory(seededRandom(seed), twoKeys);
      return [isLinearizable(wholeStoreModel, history), isLinearizableByDefinition(wholeStoreModel, history)];
    });
  });
});
