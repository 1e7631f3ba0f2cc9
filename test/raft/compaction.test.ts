import { describe, expect, it } from "vitest";
import { InvariantError } from "../../src/assert.ts";
import type { AppendEntries } from "../../src/raft/message.ts";
import { becomeReplicate } from "../../src/raft/progress.ts";
import type { Raft } from "../../src/raft/raft.ts";
import {
  accepted,
  answerAll,
  appendEntries,
  appends,
  diskWith,
  drain,
  elect,
  framesOf,
  newCore,
  progressOf,
  propose,
  receive,
  rejected,
  tick,
} from "../support/core.ts";

const TERMS = [1, 1, 1, 1, 1, 1];
const LAST = { index: 5, term: 1 };

/** A leader of term 2 with entries 1-7, all committed by b; c has said that its log ends at 2. */
function leader(): Raft {
  const raft = newCore({}, diskWith(TERMS));
  elect(raft);
  const { messages } = drain(raft);
  answerAll(raft, messages, "b");
  for (const request of appends(messages, "c")) receive(raft, rejected(request, 2, 1));
  drain(raft);
  return raft;
}

function compact(raft: Raft, index = LAST.index): void {
  raft.step({ kind: "snapshot", last: LAST });
  raft.step({ kind: "compact", index });
}

function heartbeat(raft: Raft, to: string): AppendEntries {
  tick(raft, 2);
  const request = appends(drain(raft).messages, to).at(-1);
  if (request === undefined) throw new Error("a heartbeat is sent");
  return request;
}

/** A leader whose log begins at 6, to which c has said so once more. */
function leaderOfLaggard(): Raft {
  const raft = leader();
  compact(raft);
  receive(raft, rejected(heartbeat(raft, "c"), 2, 1));
  return raft;
}

describe("a core that cuts off its log", () => {
  it("forgets no more than is applied and a snapshot covers", () => {
    const raft = leader();
    expect(() => raft.step({ kind: "compact", index: 1 })).toThrow(InvariantError);
    expect(() => raft.step({ kind: "snapshot", last: { index: 8, term: 2 } })).toThrow("a snapshot covers 8");
    raft.step({ kind: "snapshot", last: LAST });
    expect(() => raft.step({ kind: "compact", index: 6 })).toThrow("newest snapshot is at 5");
    raft.step({ kind: "compact", index: 4 });
    raft.step({ kind: "compact", index: 3 });
    expect(raft.log).toMatchObject({ firstIndex: 5, lastIndex: 7 });
    drain(raft);
  });

  it("offers its newest snapshot: one that is older changes nothing (PITFALL 37)", () => {
    const raft = leader();
    raft.step({ kind: "snapshot", last: LAST });
    raft.step({ kind: "snapshot", last: { index: 4, term: 1 } });
    expect(raft.snapshot).toEqual(LAST);
    expect(heartbeat(raft, "b").offer).toEqual({ last: LAST, isNeeded: false });
  });

  it("as a follower goes on, and answers with its snapshot (PITFALL 17)", () => {
    const raft = newCore({}, diskWith(TERMS));
    const request = appendEntries({ term: 2, prev: { index: 6, term: 1 }, leaderCommit: 6 });
    receive(raft, request);
    drain(raft);
    compact(raft);
    receive(raft, { ...request, prev: { index: 0, term: 0 }, frames: framesOf(TERMS, 1), sequence: 2 });
    expect(drain(raft)).toMatchObject({ writes: [], messages: [{ success: true, match: 6, snapshot: LAST }] });
    expect(raft.log).toMatchObject({ base: LAST, lastIndex: 6 });
  });
});

describe("a leader that has cut off its log", () => {
  it("asks who is to be sent what is gone whether it has it, at the first entry, and leaves the others alone", () => {
    const raft = leader();
    const before = { ...progressOf(raft, "b") };
    compact(raft);
    expect(progressOf(raft, "b")).toEqual(before);
    const requests = appends(drain(raft).messages);
    expect(requests).toMatchObject([{ to: "c", prev: LAST, frames: [], offer: { last: LAST, isNeeded: false } }]);
    expect(progressOf(raft, "c")).toMatchObject({ next: 6, needsSnapshot: false });
  });

  it("knows that a member needs a snapshot once that has rejected the first entry, and says so in heartbeats", () => {
    const raft = leaderOfLaggard();
    expect(progressOf(raft, "c")).toMatchObject({ next: 6, needsSnapshot: true, mode: { kind: "probe" } });
    expect(progressOf(raft, "b")).toMatchObject({ match: 7, next: 8, needsSnapshot: false });
    for (let i = 0; i < 3; i++) {
      const request = heartbeat(raft, "c");
      expect(request).toMatchObject({ prev: LAST, frames: [], offer: { last: LAST, isNeeded: true } });
      receive(raft, rejected(request, 2, 1));
    }
    expect(heartbeat(raft, "b").offer).toEqual({ last: LAST, isNeeded: false });
  });

  it("is not misled by a rejection of what it asked before it cut off its log (PITFALL 20)", () => {
    const raft = leader();
    const old = heartbeat(raft, "c");
    compact(raft);
    drain(raft);
    receive(raft, rejected(old, 2, 1));
    expect(progressOf(raft, "c")).toMatchObject({ next: 6, needsSnapshot: false });
  });

  it("offers it only in messages without entries", () => {
    const raft = leader();
    compact(raft);
    receive(raft, accepted(heartbeat(raft, "c"), 7));
    propose(raft);
    const requests = appends(drain(raft).messages).filter(({ frames }) => frames.length > 0);
    expect(requests.map(({ to, offer }) => [to, offer])).toEqual([
      ["b", undefined],
      ["c", undefined],
    ]);
  });

  it("goes on from the snapshot once the member has it, without another word (PITFALL 25)", () => {
    const raft = leaderOfLaggard();
    receive(raft, accepted(heartbeat(raft, "c"), 5));
    expect(progressOf(raft, "c")).toMatchObject({ match: 5, needsSnapshot: false, mode: { kind: "replicate" } });
    const { fetches, messages } = drain(raft);
    for (const fetch of fetches) raft.step({ kind: "fetched", fetch, frames: framesOf(TERMS, fetch.first) });
    const sent = [...messages, ...drain(raft).messages];
    expect(appends(sent, "c").flatMap(({ frames }) => frames.map(({ first, last }) => [first, last]))).toEqual([
      [6, 6],
      [7, 7],
    ]);
  });

  it("goes on from a snapshot that is further than where its log begins", () => {
    const raft = leader();
    compact(raft, 3);
    receive(raft, rejected(heartbeat(raft, "c"), 2, 1));
    // The member's log begins after 5, and a request after 3 tells it nothing new.
    receive(raft, accepted(heartbeat(raft, "c"), 5));
    expect(progressOf(raft, "c")).toMatchObject({ match: 5, next: 6, mode: { kind: "replicate" } });
  });

  it("goes on asking one that is still replacing its log, with what it held before as its match", () => {
    const raft = leaderOfLaggard();
    receive(raft, accepted(heartbeat(raft, "c"), 2));
    expect(progressOf(raft, "c")).toMatchObject({ match: 2, next: 6 });
    receive(raft, accepted(heartbeat(raft, "c"), 5));
    expect(progressOf(raft, "c")).toMatchObject({ match: 5 });
    expect(() => drain(raft)).not.toThrow();
  });

  it("never asks for what is gone when a connection breaks, however far a match lies behind (PITFALL 26)", () => {
    const raft = leader();
    const progress = progressOf(raft, "c");
    becomeReplicate(progress, 8, 0);
    progress.match = 2;
    compact(raft);
    raft.step({ kind: "unreachable", member: "c" });
    expect(progressOf(raft, "c")).toMatchObject({ next: 6, mode: { kind: "probe" } });
    expect(heartbeat(raft, "c")).toMatchObject({ prev: LAST });
  });

  it("sends nothing of what a disk read for a member before it was gone (PITFALL 24)", () => {
    const raft = leader();
    becomeReplicate(progressOf(raft, "c"), 1, 0);
    const [fetch] = drain(raft).fetches;
    if (fetch === undefined) throw new Error("entries are fetched");
    compact(raft);
    raft.step({ kind: "fetched", fetch, frames: framesOf(TERMS, 1) });
    expect(appends(drain(raft).messages, "c")).toMatchObject([{ prev: LAST, frames: [] }]);
  });

  it("sends what a disk read for a member that is ahead of where the log begins", () => {
    const raft = leader();
    becomeReplicate(progressOf(raft, "c"), 5, 0);
    const [fetch] = drain(raft).fetches;
    if (fetch === undefined) throw new Error("entries are fetched");
    compact(raft, 3);
    raft.step({ kind: "fetched", fetch, frames: framesOf(TERMS, 5) });
    expect(appends(drain(raft).messages, "c")[0]).toMatchObject({ prev: { index: 4 }, frames: [{ first: 5 }, {}] });
  });
});
