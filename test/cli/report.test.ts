import { expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import { CommandError } from "../../src/cli/exit.ts";
import { exitCodeOf } from "../../src/cli/report.ts";
import { ConfigError } from "../../src/config/load.ts";
import { StorageError } from "../../src/storage/error.ts";

it.each([
  ["a refusal", new CommandError(1, "refused"), 1],
  ["an unreachable cluster", new CommandError(3, "nobody there"), 3],
  ["a wrong configuration", new ConfigError(["--id: wrong"]), 2],
  ["a directory in use", new StorageError("inUse", "in use"), 1],
  ["a directory of another node", new StorageError("refused", "another's"), 1],
  ["a damaged disk", new StorageError("damaged", "row 7"), 74],
  ["a failed disk", new StorageError("failed", "EIO"), 74],
  ["a broken invariant", new InvariantError("two leaders"), 70],
  ["what nobody expected", new TypeError("x is undefined"), 70],
  ["a rejection that is no error", "text", 70],
] as const)("%s ends the process with its code", (_, error, code) => {
  expect(exitCodeOf(error)).toBe(code);
});
