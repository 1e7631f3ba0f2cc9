import { describe, expect, it } from "vitest";
import { faultOf } from "../../src/raft/fault.ts";
import type { Message } from "../../src/raft/message.ts";
import { MAX_INDEX, MAX_TERM } from "../../src/raft/types.ts";
import { accepted, appendEntries, commands, grant, rejected, requestVote } from "../support/core.ts";

const append = appendEntries({ term: 3, prev: { index: 4, term: 2 }, frames: [commands(5, 2, 2)] });
const answer = accepted(append);

describe("faultOf at its bounds", () => {
  it.each<Message>([
    requestVote({ term: MAX_TERM, lastLog: { index: MAX_INDEX, term: MAX_TERM } }),
    appendEntries({ term: 3, prev: { index: MAX_INDEX, term: 3 }, leaderCommit: MAX_INDEX }),
    appendEntries({ term: 3, prev: { index: MAX_INDEX - 1, term: 3 }, frames: [commands(MAX_INDEX, 1, 3)] }),
    accepted(append, MAX_INDEX),
    { ...answer, sequence: Number.MAX_SAFE_INTEGER },
    { ...append, frames: [], offer: { last: { index: MAX_INDEX, term: 3 }, isNeeded: true } },
    { ...answer, snapshot: { index: 1, term: 1 } },
  ])("accepts the largest that there is: %o", (message) => {
    expect(faultOf(message)).toBeUndefined();
  });

  it.each<[string, Message]>([
    ["term 0", requestVote({ term: 0 })],
    ["last_log_index", requestVote({ lastLog: { index: 1, term: -1 } })],
    ["last_log_index", requestVote({ lastLog: { index: 1.5, term: 1 } })],
    ["last_log_index", requestVote({ lastLog: { index: 1, term: 0.5 } })],
    ["last_log_term 2", requestVote({ term: 1, lastLog: { index: 1, term: 2 } })],
    ["another term", { ...grant(requestVote()), electionTerm: 2 }],
    ["prev_log_index", { ...append, prev: { index: 4, term: 0 } }],
    ["leader_commit", { ...append, leaderCommit: -1 }],
    ["sequence", { ...append, sequence: 0 }],
    ["entry 6 follows entry 4", { ...append, frames: [commands(6, 1, 2)] }],
    ["falls from 2 to 1", { ...append, frames: [commands(5, 1, 1)] }],
    ["above the leader's", { ...append, frames: [commands(5, 1, 4)] }],
    ["index", { ...append, prev: { index: MAX_INDEX, term: 1 }, frames: [commands(MAX_INDEX + 1, 1, 2)] }],
    ["match_index", accepted(append, -1)],
    ["sequence", { ...rejected(append, 0, 0), sequence: -1 }],
    ["conflict hint", rejected(append, 3, 0)],
    ["the offer", { ...append, offer: { last: { index: 0, term: 0 }, isNeeded: false } }],
    ["the offer", { ...append, offer: { last: { index: 4, term: 0 }, isNeeded: false } }],
    ["the offer", { ...append, offer: { last: { index: MAX_INDEX + 1, term: 1 }, isNeeded: true } }],
    ["the offer", { ...append, offer: { last: { index: 4, term: append.term + 1 }, isNeeded: true } }],
    ["snapshot", { ...answer, snapshot: { index: 0, term: 0 } }],
    ["snapshot", { ...answer, snapshot: { index: 1.5, term: 1 } }],
    ["snapshot", { ...answer, snapshot: { index: 4, term: answer.term + 1 } }],
  ])("names what is wrong: %s", (what, message) => {
    expect(faultOf(message)).toContain(what);
  });
});
