import { expect, it } from "vitest";
import { connectionsWithin, maxOpenFiles } from "../../src/cli/open-files.ts";

it("leaves the files that a node can't do without, and says how many there are", () => {
  expect(connectionsWithin(1_024, 20_000)).toBe(1_024);
  expect(connectionsWithin(1_024, 1_024)).toBe(384);
  expect(connectionsWithin(1_024, 100)).toBe(16);
  expect(connectionsWithin(8, 100)).toBe(8);
  expect(connectionsWithin(1_024, undefined)).toBe(1_024);
  expect(maxOpenFiles()).toBeGreaterThan(0);
});
