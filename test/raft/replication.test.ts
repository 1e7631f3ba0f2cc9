import { describe, expect, it } from "vitest";
import { decodeEntries } from "../../src/frame/codec.ts";
import { EntryType, ZERO_ID } from "../../src/raft/types.ts";
import {
  accepted,
  answerAll,
  appends,
  diskWith,
  drain,
  elect,
  electAndSettle,
  framesOf,
  newCore,
  progressOf,
  propose,
  receive,
  rejected,
  tick,
} from "../support/core.ts";

describe("taking office", () => {
  it("appends an entry of its own term at once: the log's id in a new log, a no-op in any other (§5.4.2)", () => {
    for (const { log, type } of [
      { log: [], type: EntryType.logId },
      { log: [1], type: EntryType.noOp },
    ]) {
      const raft = newCore({}, diskWith(log));
      elect(raft);
      const [request] = appends(raft.takeReady().messages, "b");
      expect(request).toMatchObject({ prev: { index: log.length }, frames: [{ first: log.length + 1, type }] });
    }
  });

  it("the log's id is the one that the core was given", () => {
    const raft = newCore({ newLogId: new Uint8Array(16).fill(3) });
    elect(raft);
    const [frame] = raft.takeReady().write?.frames ?? [];
    expect(decodeEntries(frame?.bytes ?? new Uint8Array(0))[0]?.command).toEqual(new Uint8Array(16).fill(3));
  });

  it("proposals get places next to each other; who doesn't lead appends nothing (Leader Append-Only)", () => {
    const raft = newCore();
    propose(raft);
    electAndSettle(raft);
    propose(raft, 3);
    propose(raft);
    expect(drain(raft).proposals).toEqual([
      { kind: "appended", first: { index: 2, term: 1 } },
      { kind: "appended", first: { index: 5, term: 1 } },
    ]);
  });
});

describe("committing (§5.3, §5.4.2)", () => {
  it("an entry of an earlier term doesn't commit by counting replicas, only under one of the own term (PITFALL 13, Figure 8)", () => {
    const raft = newCore({}, diskWith([1, 2], 3));
    elect(raft);
    const { messages } = drain(raft);
    for (const request of appends(messages)) receive(raft, accepted(request, 2));
    drain(raft);
    expect(raft.commitIndex).toBe(0);
    for (const request of appends(messages, "b")) receive(raft, accepted(request, 3));
    drain(raft);
    expect(raft.commitIndex).toBe(3);
  });

  it("learners get the log and count for nothing", () => {
    const raft = newCore({ configuration: { voters: ["a", "b", "c"], outgoing: [], learners: ["l", "m"] } });
    elect(raft);
    const { messages } = drain(raft);
    expect(appends(messages).map(({ to }) => to)).toEqual(["b", "c", "l", "m"]);
    for (const id of ["l", "m"]) answerAll(raft, messages, id);
    drain(raft);
    expect(raft.commitIndex).toBe(0);
  });

  it("a joint configuration commits by both majorities (§6)", () => {
    const raft = newCore({ configuration: { voters: ["a", "b", "c"], outgoing: ["c", "d", "e"], learners: [] } });
    elect(raft);
    const { messages } = drain(raft);
    for (const { id, commit } of [
      { id: "b", commit: 0 },
      { id: "d", commit: 0 },
      { id: "e", commit: 1 },
    ]) {
      answerAll(raft, messages, id);
      drain(raft);
      expect(raft.commitIndex).toBe(commit);
    }
  });

  it("followers that have everything learn of a commit at once, each by one message", () => {
    const raft = newCore();
    electAndSettle(raft);
    propose(raft);
    const { messages } = drain(raft);
    answerAll(raft, messages, "b");
    expect(appends(drain(raft).messages)).toMatchObject([
      { to: "b", frames: [], leaderCommit: 2, prev: { index: 2, term: 1 } },
      { to: "c", frames: [], leaderCommit: 2, prev: { index: 2, term: 1 } },
    ]);
    answerAll(raft, messages, "c");
    expect(drain(raft).messages).toEqual([]);
  });
});

describe("stale answers (PITFALL 20)", () => {
  it("an acknowledgement that comes late, or of an earlier term, moves match and next nowhere (PITFALL 14)", () => {
    const raft = newCore({}, diskWith([1, 1], 1));
    elect(raft);
    const first = appends(drain(raft).messages);
    answerAll(raft, first, "b");
    propose(raft, 2);
    answerAll(raft, drain(raft).messages, "b");
    // Of b everything is known, of c nothing yet.
    const before = ["b", "c"].map((id) => ({ ...progressOf(raft, id) }));
    for (const request of first) {
      if (request.to === "b") receive(raft, accepted(request, 1));
      receive(raft, { ...accepted(request, 5), term: 1 });
      receive(raft, { ...rejected(request, 0, 0), term: 1 });
      receive(raft, { ...rejected(request, 0, 0), sequence: 0 });
    }
    expect(["b", "c"].map((id) => progressOf(raft, id))).toEqual(before);
  });

  it("an acceptance of a request from before the probe doesn't end the search", () => {
    const raft = newCore();
    electAndSettle(raft);
    tick(raft, 2);
    const [heartbeat] = appends(drain(raft).messages, "b");
    raft.step({ kind: "unreachable", member: "b" });
    propose(raft);
    tick(raft, 2);
    const [probe] = appends(drain(raft).messages, "b");
    expect(probe).toMatchObject({ prev: { index: 1 }, frames: [{ first: 2 }] });
    if (heartbeat !== undefined) receive(raft, accepted(heartbeat));
    expect(progressOf(raft, "b")).toMatchObject({ mode: { kind: "probe" }, next: 2 });
    if (probe !== undefined) receive(raft, accepted(probe));
    expect(progressOf(raft, "b")).toMatchObject({ mode: { kind: "replicate" }, match: 2, next: 3 });
  });

  it("a rejection of a request from before the pipeline was opened is ignored", () => {
    const raft = newCore({}, diskWith([1, 1], 1));
    elect(raft);
    const [probe] = appends(drain(raft).messages, "b");
    tick(raft, 2);
    const [heartbeat] = appends(drain(raft).messages, "b");
    if (probe !== undefined) receive(raft, accepted(probe, 0));
    expect(progressOf(raft, "b")).toMatchObject({ mode: { kind: "replicate" }, next: 4 });
    if (heartbeat !== undefined) receive(raft, rejected(heartbeat, 1, 1));
    expect(progressOf(raft, "b")).toMatchObject({ mode: { kind: "replicate" }, next: 4 });
  });

  it("a rejection overtaken by the acceptance of all that was sent doesn't stop the pipeline", () => {
    const raft = newCore();
    electAndSettle(raft);
    propose(raft);
    const [entries] = appends(drain(raft).messages, "b");
    tick(raft, 2);
    const [heartbeat] = appends(drain(raft).messages, "b");
    if (entries !== undefined) receive(raft, accepted(entries));
    if (heartbeat !== undefined) receive(raft, rejected(heartbeat, 1, 1));
    expect(progressOf(raft, "b")).toMatchObject({ mode: { kind: "replicate" }, match: 2, next: 3 });
  });

  it("an answer to a request that was never sent, or a match beyond the log, is ignored", () => {
    const raft = newCore();
    electAndSettle(raft);
    tick(raft, 2);
    const [heartbeat] = appends(drain(raft).messages, "b");
    const before = { ...progressOf(raft, "b") };
    if (heartbeat !== undefined) {
      receive(raft, accepted({ ...heartbeat, sequence: heartbeat.sequence + 100 }));
      receive(raft, accepted(heartbeat, 99));
      receive(raft, accepted({ ...heartbeat, to: "x" }));
    }
    expect(progressOf(raft, "b")).toEqual(before);
  });
});

describe("the search for where the logs match (§5.3)", () => {
  it("takes a round trip per term, not per entry", () => {
    const terms = [1, 2, 3, 4, 5, 6].flatMap((term) => new Array<number>(50).fill(term));
    // The follower agrees up to 10 and then has its own terms, as long.
    const own = [...terms.slice(0, 10), ...new Array<number>(190).fill(2), ...new Array<number>(90).fill(4)];
    const leader = newCore({ id: "b", maxInFlight: 100 }, diskWith(terms));
    const follower = newCore({}, diskWith(own));
    elect(leader);
    let rounds = 0;
    for (; rounds < 100 && follower.log.lastIndex !== leader.log.lastIndex; rounds++) {
      const { messages, fetches } = drain(leader);
      for (const request of appends(messages, "a")) receive(follower, request);
      for (const answer of drain(follower).messages) receive(leader, answer);
      // Entries of before the start are on the disk only.
      for (const fetch of fetches) leader.step({ kind: "fetched", fetch, frames: framesOf(terms, fetch.first) });
    }
    expect(rounds).toBeLessThan(10);
    expect(follower.log.termAt(200)).toBe(4);
  });

  it("a rejection without a hint sends the search to the beginning, and it goes on from there", () => {
    const raft = newCore({}, diskWith([1, 1, 1]));
    elect(raft);
    const [probe] = appends(drain(raft).messages, "b");
    if (probe !== undefined) receive(raft, { ...rejected(probe, 0, 0), conflict: undefined });
    expect(appends(drain(raft).messages, "b")).toMatchObject([{ prev: ZERO_ID, frames: [] }]);
  });

  it("a probing leader has one request with entries out, and heartbeats in the same place", () => {
    const raft = newCore();
    elect(raft);
    const first = appends(drain(raft).messages, "b");
    propose(raft, 3);
    tick(raft, 6);
    const later = appends(drain(raft).messages, "b");
    expect([...first, ...later].map(({ prev, frames }) => [prev.index, frames.length])).toEqual([
      [0, 1],
      [0, 0],
    ]);
  });

  it("a caught-up follower in probe state recovers by heartbeat (PITFALL 26)", () => {
    const raft = newCore();
    electAndSettle(raft);
    raft.step({ kind: "unreachable", member: "b" });
    expect(drain(raft).messages).toEqual([]);
    tick(raft, 2);
    const [heartbeat] = appends(drain(raft).messages, "b");
    expect(heartbeat).toMatchObject({ prev: { index: 1, term: 1 }, frames: [] });
    if (heartbeat !== undefined) receive(raft, accepted(heartbeat));
    expect(progressOf(raft, "b")).toMatchObject({ mode: { kind: "replicate" }, next: 2 });
  });

  it("entries that are lost without a word are found missing by the next heartbeat, and sent again", () => {
    const raft = newCore();
    electAndSettle(raft);
    propose(raft);
    drain(raft);
    tick(raft, 2);
    const [heartbeat] = appends(drain(raft).messages, "b");
    if (heartbeat !== undefined) receive(raft, rejected(heartbeat, 1, 1));
    expect(appends(drain(raft).messages, "b")).toMatchObject([{ prev: { index: 1 }, frames: [{ first: 2, last: 2 }] }]);
  });

  it("a follower behind the log's beginning is asked at the pace of heartbeats, not in a loop", () => {
    const base = { index: 5, term: 2 };
    const raft = newCore(
      {},
      { hardState: { currentTerm: 2, votedFor: "" }, base, snapshot: base, lastIndex: 5, termStarts: [] },
    );
    elect(raft);
    const [probe] = appends(drain(raft).messages, "b");
    if (probe !== undefined) receive(raft, rejected(probe, 0, 0));
    expect(appends(drain(raft).messages, "b")).toEqual([]);
    tick(raft, 2);
    expect(appends(drain(raft).messages, "b")).toHaveLength(1);
  });
});
