import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { EntryId } from "../../src/raft/types.ts";
import {
  accepted,
  appendEntries,
  appends,
  commands,
  diskWith,
  drain,
  elect,
  grant,
  newCore,
  receive,
  timeOut,
} from "../support/core.ts";

const LAST = { index: 5, term: 2 };

function install(raft: Raft, last: EntryId = LAST): void {
  raft.step({ kind: "install", last });
}

/** A follower of b in term 3 whose disk holds entries of these terms, committed to `leaderCommit`. */
function follower(terms: readonly number[], leaderCommit = 0): Raft {
  const raft = newCore({}, diskWith(terms));
  const prev = { index: terms.length, term: terms.at(-1) ?? 0 };
  receive(raft, appendEntries({ term: 3, prev, leaderCommit }));
  drain(raft);
  return raft;
}

/** What it says to a heartbeat of its leader. */
function answerOf(raft: Raft, fields: Parameters<typeof appendEntries>[0] = {}) {
  receive(raft, appendEntries({ term: 3, sequence: 9, prev: raft.log.base, ...fields }));
  return drain(raft).messages.at(-1);
}

function persist(raft: Raft, turn: number | undefined): number {
  raft.step({ kind: "persisted", turn: turn ?? 0 });
  raft.takeReady();
  return raft.durability.index;
}

describe("a snapshot that is installed", () => {
  it.each<[string, readonly number[], number]>([
    ["an empty log", [], 0],
    ["a shorter log", [1, 1, 2], 2],
    ["a log with another entry there, and more after it", [1, 1, 1, 1, 1, 1, 1], 3],
  ])("replaces %s by one that goes on from it", (_, terms, committed) => {
    const raft = follower(terms, committed);
    install(raft);
    expect(drain(raft).writes).toMatchObject([{ reset: LAST, truncateFrom: undefined, frames: [] }]);
    expect(raft).toMatchObject({ commitIndex: 5, lastApplied: 5, snapshot: LAST });
    expect(raft.log).toMatchObject({ base: LAST, lastId: LAST });
    expect(answerOf(raft, { prev: LAST, frames: [commands(6, 2, 3)], leaderCommit: 7 })).toMatchObject({ match: 7 });
    expect(raft.lastApplied).toBe(7);
  });

  it("leaves a log that holds its last entry as it is, with all that was acknowledged after it (PITFALL 54)", () => {
    const raft = follower([1, 1, 2, 2, 2, 2, 2]);
    install(raft);
    expect(drain(raft).writes).toEqual([]);
    expect(raft).toMatchObject({ commitIndex: 5, lastApplied: 5 });
    expect(raft.log).toMatchObject({ firstIndex: 1, lastId: { index: 7, term: 2 } });
    expect(answerOf(raft, { prev: raft.log.lastId })).toMatchObject({ success: true, match: 7 });
  });

  it("is applied only when the log that holds its last entry is on the disk as far", () => {
    const raft = follower([1, 1, 2]);
    receive(raft, appendEntries({ term: 3, prev: raft.log.lastId, frames: [commands(4, 3, 2)], sequence: 2 }));
    const { write } = raft.takeReady();
    install(raft);
    raft.takeReady();
    expect(raft).toMatchObject({ commitIndex: 5, lastApplied: 3 });
    persist(raft, write?.turn);
    expect(raft).toMatchObject({ commitIndex: 5, lastApplied: 5 });
  });

  it("moves nothing where as much is committed: indexes never go back (PITFALLS 14, 37)", () => {
    const raft = follower([1, 1, 1, 1, 2, 2], 6);
    for (const last of [LAST, { index: 6, term: 2 }, { index: 4, term: 2 }]) install(raft, last);
    expect(drain(raft).writes).toEqual([]);
    expect(raft).toMatchObject({ commitIndex: 6, lastApplied: 6 });
    expect(raft.log).toMatchObject({ firstIndex: 1, lastIndex: 6 });
  });

  it("of a term that hasn't been, or that a leader's log doesn't hold, breaks an invariant", () => {
    expect(() => install(follower([1]), { index: 5, term: 4 })).toThrow(InvariantError);
    const raft = newCore({}, diskWith([1]));
    elect(raft);
    expect(() => install(raft)).toThrow("lacks the committed entry 5");
  });

  it("at a candidate: it may still win, and its own disk counts only once that is replaced (PITFALL 41)", () => {
    const raft = newCore({}, diskWith([1, 1], 2));
    timeOut(raft);
    for (const message of drain(raft).messages) if (message.kind === "requestVote") receive(raft, grant(message));
    const { messages } = drain(raft);
    install(raft);
    for (const message of messages) if (message.kind === "requestVote") receive(raft, grant(message));
    expect(raft.role.kind).toBe("leader");
    const { write, messages: requests } = raft.takeReady();
    expect(write).toMatchObject({ reset: LAST, frames: [{ first: 6, last: 6, term: 3 }] });
    for (const request of appends(requests, "b")) receive(raft, accepted(request, 6));
    raft.takeReady();
    expect(raft).toMatchObject({ commitIndex: 5, lastApplied: 0 });
    persist(raft, write?.turn);
    expect(raft).toMatchObject({ commitIndex: 6, lastApplied: 6, snapshot: LAST });
  });
});

describe("until the disk has replaced the log", () => {
  it("nothing of the snapshot is applied, acknowledged or offered (PITFALL 41)", () => {
    const raft = follower([1, 1, 1], 3);
    install(raft);
    receive(raft, appendEntries({ term: 3, prev: LAST, frames: [commands(6, 2, 3)], leaderCommit: 7, sequence: 2 }));
    const { write } = raft.takeReady();
    expect(write).toMatchObject({ reset: LAST, frames: [{ first: 6, last: 7 }] });
    receive(raft, appendEntries({ term: 3, prev: { index: 7, term: 3 }, leaderCommit: 7, sequence: 3 }));
    const { messages } = raft.takeReady();
    expect(messages).toMatchObject([{ success: true, match: 3, sequence: 3, snapshot: undefined }]);
    expect(raft).toMatchObject({ commitIndex: 7, lastApplied: 3, snapshot: { index: 0 } });
    raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
    expect(raft.takeReady().messages).toMatchObject([{ success: true, match: 7, sequence: 3, snapshot: LAST }]);
    expect(raft).toMatchObject({ commitIndex: 7, lastApplied: 7 });
  });

  it("writes that were under way prove nothing: what they wrote is overwritten (PITFALLS 21, 41)", () => {
    const raft = follower([1], 1);
    const prev = { index: 1, term: 1 };
    receive(raft, appendEntries({ term: 3, prev, frames: [commands(2, 6, 1)], sequence: 2 }));
    const old = raft.takeReady().write;
    install(raft);
    const reset = raft.takeReady().write;
    receive(raft, appendEntries({ term: 3, prev: LAST, frames: [commands(6, 2, 3)], sequence: 3 }));
    const next = raft.takeReady().write;
    expect(next).toMatchObject({ reset: undefined, truncateFrom: undefined, frames: [{ first: 6, last: 7 }] });
    const durable = [old, reset, next].map((write) => [persist(raft, write?.turn), raft.snapshot.index]);
    expect(durable).toEqual([
      [1, 0],
      [5, 5],
      [7, 5],
    ]);
  });

  it("a truncation that no turn was told of is none any more: there is nothing left to cut", () => {
    const raft = follower([1, 1, 1, 1, 1, 1], 1);
    receive(raft, appendEntries({ from: "c", term: 4, prev: { index: 2, term: 1 }, frames: [commands(3, 1, 4)] }));
    install(raft);
    expect(raft.takeReady().write).toMatchObject({ reset: LAST, truncateFrom: undefined, frames: [] });
  });

  it("what was appended after it is cut as ever", () => {
    const raft = follower([1], 1);
    install(raft);
    receive(raft, appendEntries({ term: 3, prev: LAST, frames: [commands(6, 3, 3)], sequence: 2 }));
    const first = raft.takeReady().write;
    receive(
      raft,
      appendEntries({ from: "c", term: 4, prev: { index: 6, term: 3 }, frames: [commands(7, 1, 4)], sequence: 1 }),
    );
    const second = raft.takeReady().write;
    expect(second).toMatchObject({ reset: undefined, truncateFrom: 7, frames: [{ first: 7, last: 7, term: 4 }] });
    expect([first, second].map((write) => persist(raft, write?.turn))).toEqual([6, 7]);
  });

  it("a disk that may not be written to yet is given it later, once", () => {
    const raft = follower([1], 1);
    install(raft);
    expect(raft.takeReady(false).write).toBeUndefined();
    expect(raft.durability.isResetting).toBe(true);
    const { write } = raft.takeReady();
    expect(write).toMatchObject({ reset: LAST });
    expect([raft.durability.isResetting, raft.takeReady().write]).toEqual([true, undefined]);
    persist(raft, write?.turn);
    expect(raft.durability.isResetting).toBe(false);
  });
});

describe("a follower that goes on from a snapshot", () => {
  it("takes in nothing of what that covers when it is sent again, from the beginning (PITFALL 17)", () => {
    const raft = follower([1]);
    install(raft);
    drain(raft);
    expect(answerOf(raft, { prev: { index: 0, term: 0 }, frames: [commands(1, 4, 1)] })).toMatchObject({ match: 5 });
    const overlapping = { prev: { index: 3, term: 1 }, frames: [commands(4, 2, 2), commands(6, 1, 3)] };
    expect(answerOf(raft, overlapping)).toMatchObject({ success: true, match: 6 });
    expect(raft.log).toMatchObject({ base: LAST, lastId: { index: 6, term: 3 } });
  });

  it("rejects what doesn't follow, with its base as the place to go on from", () => {
    const raft = follower([1]);
    install(raft);
    drain(raft);
    expect(answerOf(raft, { prev: { index: 8, term: 3 } })).toMatchObject({ success: false, conflict: LAST });
  });

  it("starts with all that its newest snapshot covers committed and applied (PITFALL 14)", () => {
    const raft = newCore({}, { ...diskWith([1, 1, 2, 2, 2, 2]), snapshot: LAST });
    expect(raft).toMatchObject({ commitIndex: 5, lastApplied: 5 });
    expect(raft.log).toMatchObject({ firstIndex: 1, lastIndex: 6 });
    const replaced = { base: LAST, snapshot: LAST, lastIndex: 5, termStarts: [] };
    const alone = newCore({}, { ...diskWith([], 3), ...replaced });
    expect(alone).toMatchObject({ commitIndex: 5, lastApplied: 5 });
    expect(answerOf(alone, { prev: LAST })).toMatchObject({ success: true, match: 5, snapshot: LAST });
  });
});
