import { expect, it } from "vitest";
import { BatchReader } from "../../src/apply/batch-reader.ts";
import { commands } from "../support/core.ts";
import { encodeBatch, GivenLog } from "./support.ts";

const MIB = 1024 * 1024;

function givenLog(): GivenLog {
  const log = new GivenLog();
  for (let index = 1; index <= 8; index++) log.frames.push(commands(index, 1, 1));
  log.applied = 8;
  return log;
}

it("reads a batch once for all who are at the same place, also while it is being read", () => {
  const log = givenLog();
  log.isHeld = true;
  const reader = new BatchReader(log, encodeBatch);
  const got: unknown[] = [];
  for (let i = 0; i < 2; i++) reader.read(2, (batch) => got.push(batch));
  log.answer();
  reader.read(2, (batch) => got.push(batch));
  const batch = { prev: 2, last: 4, encoded: Buffer.from("(2, 4] 3-3 4-4") };
  expect({ got, reads: log.reads }).toEqual({ got: [batch, batch, batch], reads: 1 });
});

it("lets the oldest batches go over its budget (PITFALL 49)", () => {
  const log = givenLog();
  const reader = new BatchReader(log, () => Buffer.alloc(3 * MIB));
  const readsAfter = (prev: number): number => {
    reader.read(prev, () => {});
    return log.reads;
  };
  expect([0, 2, 4, 4, 2, 0].map(readsAfter)).toEqual([1, 2, 3, 3, 3, 4]);
});
