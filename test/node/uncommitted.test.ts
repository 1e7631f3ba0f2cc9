import { expect, it } from "vitest";
import { Proposals } from "../../src/node/proposals.ts";
import { placeOrReason } from "../support/outcome.ts";
import { onAppended } from "./support.ts";

const LIMITS = { maxProposals: 3, maxProposalBytes: 100, leaderWaitMs: 800, proposalTimeoutMs: 5_000 };

/** How each proposal that was added ended: at which index, or why not. */
function proposals(limits = LIMITS): { all: Proposals; add: (nowMs: number, bytes?: number) => void; ends: unknown[] } {
  const all = new Proposals(limits);
  const ends: unknown[] = [];
  const add = (nowMs: number, bytes = 1): void =>
    all.add(
      {
        commands: [new Uint8Array(bytes)],
        deadlineMs: undefined,
        ordered: false,
        done: (result) => ends.push(placeOrReason(result)),
      },
      nowMs,
    );
  return { all, add, ends };
}

function appendAll(all: Proposals, index: number, nowMs: number): void {
  const group = all.takeGroup();
  if (group === undefined) throw new Error("proposals wait");
  onAppended(all, group, { index, term: 1 }, nowMs);
}

it("counts what was appended and not committed in time against the limits, until it is committed", () => {
  const { all, add, ends } = proposals();
  for (let i = 0; i < 3; i++) add(0);
  appendAll(all, 10, 0);
  all.expire(5_000, true);
  expect(ends).toEqual(["OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"]);
  expect(all.unanswered).toBe(0);
  // A leader whose followers' disks hang would else append without end.
  add(5_000);
  expect(ends.at(-1)).toBe("OVERLOADED");
  all.onCommitted(12, () => 1);
  add(5_001);
  expect(all.unanswered).toBe(1);
  expect(ends).toHaveLength(4);
});

it("counts the same in bytes, and lets go of what was lost with the leadership", () => {
  const { all, add, ends } = proposals();
  add(0, 90);
  appendAll(all, 10, 0);
  all.expire(5_000, true);
  add(5_000, 20);
  expect(ends).toEqual(["OUTCOME_UNKNOWN", "OVERLOADED"]);
  all.onLeadershipLost(1);
  add(5_001, 20);
  expect(all.unanswered).toBe(1);
  expect(ends).toHaveLength(2);
});
