import { describe, expect, it } from "vitest";
import { assert } from "../../src/assert.ts";
import type { Fetch } from "../../src/raft/input.ts";
import { becomeReplicate } from "../../src/raft/progress.ts";
import type { Raft } from "../../src/raft/raft.ts";
import {
  accepted,
  appendEntries,
  appends,
  commands,
  diskWith,
  drain,
  elect,
  newCore,
  progressOf,
  receive,
  tick,
} from "../support/core.ts";

/** A leader whose entries 1-3 are on its disk only, and what it fetches of them for b. */
function fetching(raft = newCore({}, diskWith([1, 1, 1]))): { readonly raft: Raft; readonly fetch: Fetch } {
  elect(raft);
  drain(raft);
  becomeReplicate(progressOf(raft, "b"), 1, 0);
  const [fetch] = drain(raft).fetches;
  assert(fetch !== undefined, "entries are fetched");
  return { raft, fetch };
}

const frames = [commands(1, 3, 1)];
const toB = (raft: Raft) => appends(drain(raft).messages, "b");

describe("entries that were fetched for a follower", () => {
  it("are sent once, though the disk answers twice", () => {
    const { raft, fetch } = fetching();
    raft.step({ kind: "fetched", fetch, frames });
    expect(toB(raft)).toMatchObject([{ frames: [{ first: 1, last: 3 }] }, { frames: [{ first: 4 }] }]);
    raft.step({ kind: "fetched", fetch, frames });
    expect(toB(raft)).toEqual([]);
  });

  it("are not sent when it turned out meanwhile to have some of them (PITFALL 24)", () => {
    const { raft, fetch } = fetching();
    const request = appendEntries({ from: "a", to: "b", term: 2, sequence: 1 });
    receive(raft, accepted(request, 2));
    raft.step({ kind: "fetched", fetch, frames });
    const { messages, fetches } = drain(raft);
    expect(appends(messages, "b")).toEqual([]);
    expect(fetches).toMatchObject([{ first: 3, last: 3 }]);
  });

  it("are not sent by who doesn't lead any more, nor in a later term of office", () => {
    const { raft, fetch } = fetching();
    receive(raft, appendEntries({ from: "c", term: 3, prev: { index: 1, term: 1 } }));
    drain(raft);
    raft.step({ kind: "fetched", fetch, frames });
    expect(toB(raft)).toEqual([]);
    fetching(raft);
    raft.step({ kind: "fetched", fetch, frames });
    expect(progressOf(raft, "b").fetching).toBe(true);
    expect(toB(raft)).toEqual([]);
  });

  it("are not sent by who stepped down within the term", () => {
    const { raft, fetch } = fetching();
    tick(raft, 10);
    expect(raft).toMatchObject({ role: { kind: "follower" }, currentTerm: fetch.term });
    raft.step({ kind: "fetched", fetch, frames });
    expect(toB(raft)).toEqual([]);
  });

  it("are nobody's when the member is unknown", () => {
    const { raft, fetch } = fetching();
    raft.step({ kind: "fetched", fetch: { ...fetch, member: "x" }, frames });
    expect(toB(raft)).toEqual([]);
  });
});
