import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import {
  accepted,
  appendEntries,
  appends,
  commands,
  diskWith,
  drain,
  electAndSettle,
  grant,
  newCore,
  propose,
  receive,
  requestVote,
} from "../support/core.ts";

describe("what leaves the core", () => {
  it("of one that was just started is nothing", () => {
    expect(newCore().takeReady()).toEqual({ write: undefined, messages: [], proposals: [], reads: [], fetches: [] });
  });

  it("waits for a term that is being written, also when nothing waited before it (PITFALL 1)", () => {
    const raft = newCore({}, diskWith([1], 2));
    receive(raft, { ...accepted(appendEntries({ from: "a", to: "b" })), term: 4 });
    const { write } = raft.takeReady();
    expect(write?.hardState).toEqual({ currentTerm: 4, votedFor: "" });
    receive(raft, requestVote({ term: 3 }));
    expect(raft.takeReady().messages).toEqual([]);
    raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
    expect(raft.takeReady().messages).toMatchObject([{ to: "b", granted: false, term: 4 }]);
  });

  it("is bounded while a disk hangs, and not while it answers", () => {
    const raft = newCore();
    for (let i = 0; i < 1_100; i++) receive(raft, requestVote());
    const { write } = raft.takeReady();
    raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
    expect(raft.takeReady().messages).toHaveLength(1_024);
    for (let i = 0; i < 1_100; i++) receive(raft, requestVote());
    expect(raft.takeReady().messages).toHaveLength(1_100);
  });

  it("is one answer to a vote in the term that a restarted node is in, and nothing to a leader it hasn't heard", () => {
    const raft = newCore({}, diskWith([], 1));
    receive(raft, requestVote());
    expect(drain(raft).messages).toEqual([grant(requestVote())]);
  });

  it("to the leader is one answer for all that is durable, and no other with later turns", () => {
    const raft = newCore();
    receive(raft, appendEntries({ frames: [commands(1, 2, 1)] }));
    receive(raft, appendEntries({ prev: { index: 2, term: 1 }, sequence: 2 }));
    expect(drain(raft).messages).toMatchObject([
      { match: 0, sequence: 2 },
      { match: 2, sequence: 2 },
    ]);
    raft.setHardState(1, "b");
    expect(drain(raft).messages).toEqual([]);
    receive(raft, appendEntries({ prev: { index: 2, term: 1 }, sequence: 3 }));
    expect(drain(raft).messages).toHaveLength(1);
    raft.setHardState(1, "b");
    expect(drain(raft)).toMatchObject({ writes: [{ hardState: { votedFor: "b" } }], messages: [] });
  });

  it("to a new leader speaks of its own requests only, never of an earlier leader's (PITFALL 52)", () => {
    const raft = newCore();
    receive(raft, appendEntries({ frames: [commands(1, 1, 1)], sequence: 9 }));
    drain(raft);
    receive(raft, appendEntries({ from: "c", term: 2, prev: { index: 1, term: 1 }, frames: [commands(2, 1, 2)] }));
    expect(drain(raft).messages).toMatchObject([{ to: "c", match: 2, sequence: 1 }]);
  });

  it("tells a proposer that this node doesn't lead", () => {
    const raft = newCore();
    propose(raft);
    expect(drain(raft).proposals).toEqual([{ kind: "notLeader" }]);
  });
});

describe("the disk's part", () => {
  it("a cut is written though nothing follows it", () => {
    const raft = newCore({}, diskWith([1, 1]));
    raft.log.truncateFrom(2);
    raft.durability.onTruncated(2);
    expect(raft.takeReady().write).toMatchObject({ hardState: undefined, truncateFrom: 2, frames: [] });
  });

  it("entries that left memory before they were written, and a turn that was never given, are fatal", () => {
    const raft = newCore();
    expect(() => raft.step({ kind: "persisted", turn: 1 })).toThrow(InvariantError);
    raft.log.append(commands(1, 1, 0));
    raft.log.evict(1, 0);
    expect(() => raft.takeReady()).toThrow("left memory");
  });

  it("entries leave memory once they are committed and durable, and not before", () => {
    const raft = newCore({ cacheBytes: 0 });
    electAndSettle(raft);
    expect(raft.log.firstInMemory).toBe(2);
    propose(raft);
    const { messages } = drain(raft);
    expect(raft.log.firstInMemory).toBe(2);
    for (const request of appends(messages, "b")) receive(raft, accepted(request));
    drain(raft);
    expect(raft.log.firstInMemory).toBe(3);
  });

  it("a leader whose entry before the first conflicts with a snapshot is fatal (PITFALL 19)", () => {
    const base = { index: 5, term: 2 };
    const raft = newCore(
      {},
      { hardState: { currentTerm: 3, votedFor: "" }, base, snapshot: base, lastIndex: 5, termStarts: [] },
    );
    const request = appendEntries({ term: 3, prev: { index: 5, term: 3 } });
    expect(() => receive(raft, request)).toThrow("lacks the committed entry 5");
  });
});
