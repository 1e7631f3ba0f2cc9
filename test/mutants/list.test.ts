import { expect, it } from "vitest";
import { mutants } from "./list.ts";
import { mutated } from "./mutant.ts";
import { readSource } from "./scratch.ts";

it("every named mutant has a name of its own, a place in the source, and tests that are there", () => {
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
  for (const mutant of mutants) {
    expect(() => mutated(readSource(mutant.file), mutant)).not.toThrow();
    for (const test of mutant.caughtBy) expect(() => readSource(test)).not.toThrow();
  }
});
