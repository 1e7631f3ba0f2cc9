import { expect, it } from "vitest";
import type { ReadIndexResult } from "../../src/node/api.ts";
import { Reads } from "../../src/node/reads.ts";

/** How each read that was added ended: its index, or the reason why it has none. */
function readsWithAnswers(): { reads: Reads; add: (untilMs: number) => void; answers: (number | string)[] } {
  const reads = new Reads(10_000);
  const answers: (number | string)[] = [];
  const done = (result: ReadIndexResult): void => {
    answers.push(result.kind === "readIndex" ? result.index : result.failure.reason);
  };
  return { reads, add: (untilMs) => reads.add(untilMs, done), answers };
}

it("asks for no more barriers than a few, however long a leader confirms none and however many reads expire", () => {
  const { reads, add, answers } = readsWithAnswers();
  let asked = 0;
  for (let nowMs = 0; nowMs < 5_000; nowMs++) {
    add(nowMs + 10);
    if (reads.takeGroup() !== undefined) asked++;
    reads.expire(nowMs);
  }
  expect(asked).toBe(64);
  expect(reads.count).toBeLessThanOrEqual(10);
  expect(new Set(answers)).toEqual(new Set(["NO_LEADER"]));
  expect(answers.length + reads.count).toBe(5_000);
});

it("gives a barrier that is confirmed late to those whose time is not up, and asks again for what waited meanwhile", () => {
  const { reads, add, answers } = readsWithAnswers();
  add(10);
  add(1_000);
  const group = reads.takeGroup();
  if (group === undefined) throw new Error("two reads wait");
  reads.expire(10);
  expect(answers).toEqual(["NO_LEADER"]);
  reads.onConfirmed(group, 7, 1);
  expect(answers).toEqual(["NO_LEADER", 7]);
  expect(reads.count).toBe(0);
  expect(reads.takeGroup()).toBeUndefined();
});

it("takes a read that is added by the answer to an expired one", () => {
  const { reads, add, answers } = readsWithAnswers();
  reads.add(1, (result) => {
    answers.push(result.kind);
    add(1_000);
  });
  reads.expire(1);
  expect(answers).toEqual(["failed"]);
  expect(reads.takeGroup()?.reads.length).toBe(1);
});
