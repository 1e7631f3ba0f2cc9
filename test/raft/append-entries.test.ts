import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import type { AppendEntriesResponse } from "../../src/raft/message.ts";
import type { Raft } from "../../src/raft/raft.ts";
import { ZERO_ID } from "../../src/raft/types.ts";
import { appendEntries, commands, diskWith, drain, newCore, receive, termsOf, tick, timeOut } from "../support/core.ts";

describe("terms (§5.1)", () => {
  it("rejects a request of an earlier term with its own term, and with no sequence to be mistaken for an answer", () => {
    const raft = newCore({}, diskWith([1], 3));
    receive(raft, appendEntries({ term: 2, sequence: 9 }));
    expect(drain(raft).messages).toEqual([
      {
        kind: "appendEntriesResponse",
        from: "a",
        to: "b",
        term: 3,
        success: false,
        match: 0,
        conflict: undefined,
        sequence: 0,
      },
    ]);
    expect(raft).toMatchObject({ role: { leader: "" }, currentTerm: 3 });
  });

  it("enters a higher term without a vote in it, and follows its leader (Figure 2)", () => {
    const raft = newCore({}, diskWith([1], 3, "a"));
    receive(raft, appendEntries({ term: 4 }));
    expect(raft).toMatchObject({ role: { kind: "follower", leader: "b" }, currentTerm: 4, votedFor: "" });
  });

  it("a heartbeat leaves the vote of its term alone (Figure 2)", () => {
    const raft = newCore({}, diskWith([1], 3, "a"));
    receive(raft, appendEntries({ term: 3, prev: { index: 1, term: 1 } }));
    expect({ votedFor: raft.votedFor, writes: drain(raft).writes }).toEqual({ votedFor: "a", writes: [] });
  });
});

describe("consistency check (§5.3)", () => {
  it.each([
    {
      own: [1, 1],
      prev: { index: 4, term: 2 },
      conflict: { index: 2, term: 1 },
      why: "a log that is too short: its end",
    },
    {
      own: [1, 1, 2],
      prev: { index: 3, term: 3 },
      conflict: { index: 3, term: 2 },
      why: "an older term: its entry there",
    },
    {
      own: [1, 4, 4, 4],
      prev: { index: 3, term: 2 },
      conflict: { index: 1, term: 1 },
      why: "a newer term: skipped whole",
    },
    { own: [4, 4], prev: { index: 2, term: 3 }, conflict: ZERO_ID, why: "nothing that could match: the beginning" },
    { own: [], prev: { index: 7, term: 3 }, conflict: ZERO_ID, why: "an empty log: the beginning" },
  ])("rejects entries that follow what it doesn't hold, hinting at the last that may match: $why", (example) => {
    const raft = newCore({}, diskWith(example.own, 5));
    const request = appendEntries({
      term: 5,
      prev: example.prev,
      frames: [commands(example.prev.index + 1, 1, 5)],
      sequence: 3,
    });
    receive(raft, request);
    expect(drain(raft).messages).toMatchObject([{ success: false, conflict: example.conflict, match: 0, sequence: 3 }]);
    expect(termsOf(raft)).toEqual(example.own);
  });

  it("appends what follows an entry that it holds, also when its log begins behind a snapshot", () => {
    const raft = newCore(
      {},
      {
        hardState: { currentTerm: 3, votedFor: "" },
        base: { index: 5, term: 2 },
        snapshot: { index: 5, term: 2 },
        lastIndex: 5,
        termStarts: [],
      },
    );
    receive(
      raft,
      appendEntries({ term: 3, prev: { index: 5, term: 2 }, frames: [commands(6, 2, 3)], leaderCommit: 7 }),
    );
    expect(drain(raft).messages).toMatchObject([{ success: true, match: 7 }]);
    expect({ last: raft.log.lastId, commit: raft.commitIndex }).toEqual({ last: { index: 7, term: 3 }, commit: 7 });
  });

  it("at prevLogIndex 0 after compaction it doesn't append compacted entries again (PITFALL 17)", () => {
    const raft = newCore(
      {},
      {
        hardState: { currentTerm: 3, votedFor: "" },
        base: { index: 5, term: 2 },
        snapshot: { index: 5, term: 2 },
        lastIndex: 5,
        termStarts: [],
      },
    );
    receive(raft, appendEntries({ term: 3, frames: [commands(1, 5, 2), commands(6, 1, 3)] }));
    const { writes, messages } = drain(raft);
    expect(writes.flatMap(({ frames }) => frames.map(({ first, last }) => [first, last]))).toEqual([[6, 6]]);
    expect(messages).toMatchObject([{ success: true, match: 6 }]);
    receive(raft, appendEntries({ term: 3, frames: [commands(1, 3, 2)], sequence: 2 }));
    expect(drain(raft)).toMatchObject({ writes: [], messages: [{ success: true, match: 6 }] });
  });
});

describe("conflicts (§5.3)", () => {
  it("truncates at a real conflict and appends in the same write (PITFALLS 16, 18)", () => {
    const raft = newCore({}, diskWith([1, 1, 2, 2]));
    receive(
      raft,
      appendEntries({ term: 3, prev: { index: 1, term: 1 }, frames: [commands(2, 1, 1), commands(3, 1, 3)] }),
    );
    const { writes } = drain(raft);
    expect(writes).toHaveLength(1);
    expect(writes[0]).toMatchObject({
      hardState: { currentTerm: 3, votedFor: "" },
      truncateFrom: 3,
      frames: [{ first: 3, last: 3, term: 3 }],
    });
    expect(termsOf(raft)).toEqual([1, 1, 3]);
  });

  it("a delayed, duplicated or shorter request keeps the entries behind it (PITFALL 16)", () => {
    const raft = newCore();
    receive(raft, appendEntries({ frames: [commands(1, 5, 1)] }));
    drain(raft);
    receive(raft, appendEntries({ frames: [commands(1, 5, 1)] }));
    receive(raft, appendEntries({ frames: [commands(1, 2, 1)], sequence: 2 }));
    receive(raft, appendEntries({ sequence: 3 }));
    expect(drain(raft)).toMatchObject({ writes: [], messages: [{ match: 5 }, { match: 5 }, { match: 5 }] });
    expect(raft.log.lastIndex).toBe(5);
  });

  it("committed entries are never truncated: a leader that replaces one is fatal (PITFALL 19)", () => {
    const raft = newCore({}, diskWith([1, 1]));
    receive(raft, appendEntries({ prev: { index: 2, term: 1 }, leaderCommit: 2 }));
    const replace = appendEntries({ term: 2, prev: { index: 1, term: 1 }, frames: [commands(2, 1, 2)] });
    expect(() => receive(raft, replace)).toThrow(InvariantError);
    expect(() => receive(raft, appendEntries({ term: 3, prev: { index: 2, term: 3 } }))).toThrow("lacks the committed");
    expect(termsOf(raft)).toEqual([1, 1]);
  });

  it("what one leader verified it can't replace itself (Leader Append-Only)", () => {
    const raft = newCore({}, diskWith([1, 1]));
    receive(raft, appendEntries({ term: 3, prev: { index: 2, term: 1 } }));
    const replace = appendEntries({ term: 3, prev: { index: 1, term: 1 }, frames: [commands(2, 1, 3)] });
    expect(() => receive(raft, replace)).toThrow(InvariantError);
  });
});

describe("commit (§5.3)", () => {
  it("goes to the last entry verified by this request, not to the log's own end (PITFALL 15)", () => {
    const raft = newCore({}, diskWith([1, 1, 1, 1], 2));
    receive(raft, appendEntries({ term: 2, prev: { index: 2, term: 1 }, leaderCommit: 4 }));
    expect(raft.commitIndex).toBe(2);
    receive(
      raft,
      appendEntries({
        term: 2,
        prev: { index: 2, term: 1 },
        frames: [commands(3, 1, 1)],
        leaderCommit: 4,
        sequence: 2,
      }),
    );
    expect(raft.commitIndex).toBe(3);
  });

  it("never falls, whatever comes late (PITFALL 14)", () => {
    const raft = newCore({}, diskWith([1, 1]));
    receive(raft, appendEntries({ prev: { index: 2, term: 1 }, leaderCommit: 2, sequence: 2 }));
    receive(raft, appendEntries({ leaderCommit: 0 }));
    receive(raft, appendEntries({ prev: { index: 1, term: 1 }, leaderCommit: 2 }));
    drain(raft);
    expect(raft).toMatchObject({ commitIndex: 2, lastApplied: 2 });
  });

  it("delivers only what is on the own disk (PITFALL 55)", () => {
    const raft = newCore();
    receive(raft, appendEntries({ frames: [commands(1, 2, 1)], leaderCommit: 2 }));
    const { write } = raft.takeReady();
    expect(raft).toMatchObject({ commitIndex: 2, lastApplied: 0 });
    raft.step({ kind: "persisted", turn: write?.turn ?? 0 });
    raft.takeReady();
    expect(raft.lastApplied).toBe(2);
  });

  it("a restarted node knows as committed only what its snapshot holds, and begins there (PITFALLS 14, 43)", () => {
    const base = { index: 5, term: 2 };
    const raft = newCore(
      {},
      {
        hardState: { currentTerm: 3, votedFor: "" },
        base,
        snapshot: base,
        lastIndex: 7,
        termStarts: [{ index: 6, term: 3 }],
      },
    );
    expect(raft).toMatchObject({ commitIndex: 5, lastApplied: 5 });
  });
});

describe("answers", () => {
  it("a heartbeat is answered at once, and never acknowledges what isn't on the disk (PITFALL 51)", () => {
    const raft = newCore({}, diskWith([1]));
    receive(raft, appendEntries({ prev: { index: 1, term: 1 }, frames: [commands(2, 2, 1)] }));
    expect(raft.takeReady().messages).toEqual([]);
    receive(raft, appendEntries({ prev: { index: 3, term: 1 }, sequence: 2 }));
    expect(raft.takeReady().messages).toMatchObject([{ success: true, match: 1, sequence: 2 }]);
  });

  it("entries are answered when they are durable; those that became so together, once, with the highest sequence", () => {
    const raft = newCore();
    receive(raft, appendEntries({ frames: [commands(1, 2, 1)] }));
    receive(raft, appendEntries({ prev: { index: 2, term: 1 }, frames: [commands(3, 1, 1)], sequence: 2 }));
    const first = raft.takeReady();
    receive(raft, appendEntries({ prev: { index: 3, term: 1 }, frames: [commands(4, 1, 1)], sequence: 3 }));
    const second = raft.takeReady();
    expect(answersOf(raft, first.write?.turn)).toMatchObject([{ success: true, match: 3, sequence: 3 }]);
    expect(answersOf(raft, second.write?.turn)).toMatchObject([{ success: true, match: 4, sequence: 3 }]);
  });

  it("claims no entry beyond what this leader has verified, though more is on the disk (PITFALL 51)", () => {
    const raft = newCore({}, diskWith([1, 1, 1]));
    receive(raft, appendEntries({ term: 2, prev: { index: 1, term: 1 } }));
    expect(drain(raft).messages).toMatchObject([{ success: true, match: 1 }]);
  });

  it("who campaigned for a moment still answers when the entries of its old leader are durable", () => {
    const raft = newCore({}, diskWith([], 1));
    receive(raft, appendEntries({ frames: [commands(1, 2, 1)] }));
    const { write } = raft.takeReady();
    tick(raft, 9);
    timeOut(raft);
    receive(raft, appendEntries({ prev: { index: 2, term: 1 }, sequence: 2 }));
    raft.takeReady();
    expect(answersOf(raft, write?.turn)).toMatchObject([{ success: true, match: 2, sequence: 2 }]);
  });

  it("a follower that comes back with an empty log is led from its first entry on (PITFALL 25)", () => {
    const raft = newCore();
    receive(raft, appendEntries({ term: 4, prev: { index: 3, term: 3 }, leaderCommit: 3 }));
    expect(drain(raft).messages).toMatchObject([{ success: false, conflict: ZERO_ID }]);
    receive(
      raft,
      appendEntries({ term: 4, frames: [commands(1, 2, 1), commands(3, 1, 3)], leaderCommit: 3, sequence: 2 }),
    );
    expect(drain(raft).messages).toMatchObject([{ success: true, match: 3 }]);
    expect(raft.lastApplied).toBe(3);
  });
});

/** What a core has to say once this turn is on its disk. */
function answersOf(raft: Raft, turn: number | undefined): AppendEntriesResponse[] {
  raft.step({ kind: "persisted", turn: turn ?? 0 });
  return raft.takeReady().messages.filter((message) => message.kind === "appendEntriesResponse");
}
