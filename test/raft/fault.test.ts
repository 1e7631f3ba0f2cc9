import { describe, expect, it } from "vitest";
import { faultOf, leapOf } from "../../src/raft/fault.ts";
import type { Message } from "../../src/raft/message.ts";
import { MAX_INDEX, MAX_TERM, MAX_TERM_LEAP } from "../../src/raft/types.ts";
import { accepted, appendEntries, commands, grant, rejected, requestVote } from "../support/core.ts";

const append = appendEntries({ term: 3, prev: { index: 4, term: 2 }, frames: [commands(5, 2, 2), commands(7, 1, 3)] });
const each: readonly Message[] = [requestVote(), grant(requestVote()), append, accepted(append)];

describe("faultOf", () => {
  it("finds nothing wrong with what correct members send", () => {
    const messages: Message[] = [
      ...each,
      rejected(append, 4, 1),
      rejected(append, 0, 0),
      { ...rejected(append, 0, 0), conflict: undefined, sequence: 0 },
      requestVote({ term: MAX_TERM, preVote: true, lastLog: { index: 3, term: 2 } }),
      { ...grant(requestVote({ term: 4 })), granted: false, term: 2 },
      appendEntries({ leaderCommit: 8 }),
    ];
    expect(messages.map(faultOf)).toEqual(messages.map(() => undefined));
  });

  it.each([2 ** 53 - 1, MAX_TERM + 1, 0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    "a term of %d is refused in every message (PITFALL 57)",
    (term) => {
      for (const message of each) expect(faultOf({ ...message, term })).toContain("term");
    },
  );

  it.each<[string, Message]>([
    ["entries with a gap behind prev", { ...append, frames: [commands(6, 1, 2)] }],
    ["entries that overlap prev", { ...append, frames: [commands(4, 2, 2)] }],
    ["a gap between entries", { ...append, frames: [commands(5, 1, 2), commands(7, 1, 2)] }],
    ["entries twice", { ...append, frames: [commands(5, 2, 2), commands(6, 1, 2)] }],
    ["terms that fall between entries", { ...append, frames: [commands(5, 1, 3), commands(6, 1, 2)] }],
    ["a first term below that of prev", { ...append, frames: [commands(5, 1, 1)] }],
    ["an entry's term above the leader's", { ...append, frames: [commands(5, 1, 4)] }],
    ["prev's term above the leader's", { ...append, prev: { index: 4, term: 4 }, frames: [] }],
    ["prev with an index and no term", { ...append, prev: { index: 4, term: 0 } }],
    ["prev with a term and no index", { ...append, prev: { index: 0, term: 1 }, frames: [] }],
    ["an index out of range", { ...append, prev: { index: MAX_INDEX + 1, term: 1 }, frames: [] }],
    [
      "entries that pass the last index",
      { ...append, prev: { index: MAX_INDEX, term: 1 }, frames: [commands(MAX_INDEX + 1, 1, 2)] },
    ],
    ["a commit index out of range", { ...append, leaderCommit: -1 }],
    ["a request without a sequence", { ...append, sequence: 0 }],
    ["an acceptance without a sequence", { ...accepted(append), sequence: 0 }],
    ["a sequence out of range", { ...accepted(append), sequence: 2 ** 53 }],
    ["a match out of range", accepted(append, MAX_INDEX + 1)],
    ["a hint that is no entry's", rejected(append, 3, 0)],
    ["a last entry's term above the candidate's", requestVote({ term: 1, lastLog: { index: 1, term: 2 } })],
    ["a last entry with an index and no term", requestVote({ term: 1, lastLog: { index: 1, term: 0 } })],
    ["a vote granted for another term", { ...grant(requestVote()), electionTerm: 2 }],
  ])("refuses %s (PITFALL 57)", (_, message) => {
    expect(faultOf(message)).toEqual(expect.any(String));
  });
});

describe("leapOf", () => {
  it("finds a term that elections may have led to, and every earlier one, within reach (PITFALL 57)", () => {
    for (const term of [1, 7, 8, 1_000_000, 7 + MAX_TERM_LEAP])
      expect(leapOf(requestVote({ term }), 7)).toBeUndefined();
  });

  it.each([8 + MAX_TERM_LEAP, MAX_TERM])("refuses the term %d at term 7 (PITFALL 57)", (term) => {
    for (const message of each) expect(leapOf({ ...message, term }, 7)).toContain("out of reach");
  });
});
