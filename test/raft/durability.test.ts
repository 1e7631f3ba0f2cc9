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
  newCore,
  propose,
  receive,
  requestVote,
  tick,
  votersOnly,
} from "../support/core.ts";

describe("what is durable", () => {
  it("a completion for an overwritten entry doesn't make the new one durable, even of the same term (PITFALL 21)", () => {
    const raft = newCore({}, diskWith([1]));
    const prev = { index: 1, term: 1 };
    receive(raft, appendEntries({ term: 2, prev, frames: [commands(2, 2, 2)] }));
    const first = raft.takeReady();
    // Another leader cuts the entries while they are being written, and yet another brings the same ones back.
    receive(raft, appendEntries({ from: "c", term: 3, prev, frames: [commands(2, 1, 3)] }));
    const second = raft.takeReady();
    receive(raft, appendEntries({ from: "c", term: 4, prev, frames: [commands(2, 2, 4)] }));
    const third = raft.takeReady();
    expect([second, third].map(({ write }) => write?.truncateFrom)).toEqual([2, 2]);
    const durable = [first, second, third].map(({ write }) => {
      raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
      return raft.durability.index;
    });
    expect(durable).toEqual([1, 1, 3]);
  });

  it("entries that come back with their old index and term count only when they are written again (PITFALL 21)", () => {
    const raft = newCore({}, diskWith([1], 2));
    raft.log.append(commands(2, 1, 2));
    const first = raft.takeReady();
    raft.log.truncateFrom(2);
    raft.durability.onTruncated(2);
    raft.log.append(commands(2, 1, 2));
    raft.step({ kind: "persisted", turn: first.write?.turn ?? 0 });
    expect(raft.durability.index).toBe(1);
    const second = raft.takeReady();
    expect(second.write).toMatchObject({ truncateFrom: 2, frames: [{ first: 2, last: 2 }] });
    raft.step({ kind: "persisted", turn: second.write?.turn ?? 0 });
    expect(raft.durability.index).toBe(2);
  });

  it("a truncation takes durable entries back", () => {
    const raft = newCore({}, diskWith([1, 2, 2]));
    receive(raft, appendEntries({ term: 3, prev: { index: 1, term: 1 }, frames: [commands(2, 1, 3)] }));
    expect(raft.durability.index).toBe(1);
  });

  it("what was cut before any turn had it leaves nothing to truncate on the disk", () => {
    const raft = newCore({}, diskWith([1]));
    const prev = { index: 1, term: 1 };
    receive(raft, appendEntries({ term: 2, prev, frames: [commands(2, 3, 2)] }));
    receive(raft, appendEntries({ from: "c", term: 3, prev, frames: [commands(2, 1, 3)] }));
    expect(raft.takeReady().write).toMatchObject({
      hardState: { currentTerm: 3, votedFor: "" },
      truncateFrom: undefined,
      frames: [{ first: 2, last: 2, term: 3 }],
    });
  });

  it("several cuts within a turn become one, at the lowest", () => {
    const raft = newCore({}, diskWith([1, 2, 2, 2]));
    receive(raft, appendEntries({ term: 3, prev: { index: 2, term: 2 }, frames: [commands(3, 1, 3)] }));
    receive(raft, appendEntries({ from: "c", term: 4, prev: { index: 1, term: 1 }, frames: [commands(2, 1, 4)] }));
    expect(drain(raft).writes).toMatchObject([{ truncateFrom: 2, frames: [{ first: 2, last: 2, term: 4 }] }]);
  });

  it("turns are given in order, and reported in order: anything else is fatal (PITFALL 18)", () => {
    const raft = newCore();
    receive(raft, appendEntries({ frames: [commands(1, 1, 1)] }));
    const first = raft.takeReady().write;
    receive(raft, appendEntries({ prev: { index: 1, term: 1 }, frames: [commands(2, 1, 1)], sequence: 2 }));
    const second = raft.takeReady().write;
    expect([first?.turn, second?.turn]).toEqual([1, 2]);
    expect(() => raft.step({ kind: "persisted", turn: 2 })).toThrow(InvariantError);
    expect(() => newCore().step({ kind: "persisted", turn: 1 })).toThrow("none was due");
  });

  it("votes and entries are written in the order in which they came, and answered in it (PITFALL 18)", () => {
    const raft = newCore({ random: (bound) => bound - 1 });
    receive(raft, appendEntries({ frames: [commands(1, 1, 1)] }));
    const entries = raft.takeReady();
    tick(raft, 10);
    receive(raft, requestVote({ from: "c", term: 2, lastLog: { index: 1, term: 1 } }));
    const vote = raft.takeReady();
    receive(raft, requestVote({ from: "c", term: 2, lastLog: { index: 1, term: 1 } }));
    receive(raft, appendEntries({ from: "c", term: 2, prev: { index: 1, term: 1 }, frames: [commands(2, 1, 2)] }));
    const more = raft.takeReady();
    expect([entries, vote, more].map(({ write }) => write)).toMatchObject([
      { turn: 1, hardState: { currentTerm: 1 }, frames: [{ first: 1 }] },
      { turn: 2, hardState: { currentTerm: 2, votedFor: "c" }, frames: [] },
      { turn: 3, hardState: undefined, frames: [{ first: 2 }] },
    ]);
    const answered = [1, 2, 3].map((turn) => {
      raft.step({ kind: "persisted", turn });
      return raft.takeReady().messages.map((message) => ("match" in message ? message.match : message.kind));
    });
    expect(answered).toEqual([[], ["requestVoteResponse", "requestVoteResponse", 1, 1], [2]]);
  });

  it("what comes up while a term is being written waits for that write, not for an earlier one (PITFALLS 1, 18)", () => {
    const raft = newCore();
    receive(raft, appendEntries({ frames: [commands(1, 1, 1)] }));
    raft.takeReady();
    receive(raft, appendEntries({ from: "c", term: 2, prev: { index: 1, term: 1 }, frames: [commands(2, 1, 2)] }));
    expect(raft.takeReady().write).toMatchObject({ turn: 2, hardState: { currentTerm: 2 } });
    receive(raft, appendEntries({ from: "c", term: 2, prev: { index: 2, term: 2 }, sequence: 2 }));
    const answered = [1, 2].map((turn) => {
      raft.step({ kind: "persisted", turn });
      return raft.takeReady().messages.length > 0;
    });
    expect(answered).toEqual([false, true]);
  });

  it("a disk that hangs holds back a bounded number of answers, and those go out when it is back", () => {
    const raft = newCore();
    receive(raft, requestVote({ term: 4 }));
    const { write } = raft.takeReady();
    for (let i = 0; i < 5_000; i++) receive(raft, requestVote({ term: 4 }));
    raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
    const { messages } = raft.takeReady();
    expect(messages.length).toBeGreaterThan(100);
    expect(messages.length).toBeLessThan(2_000);
    // With the disk back nothing has to wait, so nothing is bounded.
    for (let i = 0; i < 5_000; i++) receive(raft, requestVote({ term: 4 }));
    expect(raft.takeReady().messages).toHaveLength(5_000);
  });
});

describe("the leader's own disk (thesis 10.2.1)", () => {
  it("entries go to the followers before the leader's own write is done", () => {
    const raft = newCore();
    electAndSettle(raft);
    propose(raft, 2);
    const { write, messages } = raft.takeReady();
    expect(write).toMatchObject({ hardState: undefined, frames: [{ first: 2, last: 3 }] });
    expect(appends(messages).map(({ to, frames }) => [to, frames.length])).toEqual([
      ["b", 1],
      ["c", 1],
    ]);
  });

  it("counts towards the majority only what is on its own disk", () => {
    const raft = newCore();
    electAndSettle(raft);
    propose(raft);
    const { write, messages } = raft.takeReady();
    for (const request of appends(messages, "b")) receive(raft, accepted(request));
    raft.takeReady();
    expect(raft.commitIndex).toBe(1);
    raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
    raft.takeReady();
    expect(raft.commitIndex).toBe(2);
  });

  it("commits by the followers' disks alone, and delivers to its own service only after its own write", () => {
    const raft = newCore();
    electAndSettle(raft);
    propose(raft);
    const { write, messages } = raft.takeReady();
    for (const request of appends(messages)) receive(raft, accepted(request));
    raft.takeReady();
    expect(raft).toMatchObject({ commitIndex: 2, lastApplied: 1 });
    raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
    raft.takeReady();
    expect(raft.lastApplied).toBe(2);
  });

  it("a single voter commits only after its own fsync (PITFALL 23)", () => {
    const raft = newCore({ configuration: votersOnly("a") });
    tick(raft);
    drain(raft);
    propose(raft);
    const { write, proposals } = raft.takeReady();
    expect({ proposals, commitIndex: raft.commitIndex }).toEqual({
      proposals: [{ kind: "appended", first: { index: 2, term: 1 } }],
      commitIndex: 1,
    });
    raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
    raft.takeReady();
    expect(raft.commitIndex).toBe(2);
  });

  it("all that a turn proposes is one write", () => {
    const raft = newCore();
    electAndSettle(raft);
    for (let i = 0; i < 10; i++) propose(raft, 3);
    const { writes, messages } = drain(raft);
    expect(writes.map(({ frames }) => frames.length)).toEqual([10]);
    expect(messages).toHaveLength(2);
  });
});
