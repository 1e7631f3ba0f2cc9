import { describe, expect, it } from "vitest";
import type { ReadIndexResult } from "../../src/node/api.ts";
import { Reads } from "../../src/node/reads.ts";
import { Requests } from "../../src/node/requests.ts";
import { Sessions } from "../../src/node/sessions.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { TurnWrite } from "../../src/raft/ready.ts";
import { answerAll, appendEntries, drain, elect, electAndSettle, newCore, receive } from "../support/core.ts";
import { batchOf, HeldStorage, KeptTransport, nodeOptions } from "./support.ts";

/** A leader of term 1 in whose log a batch of this node lies at index 2, on nobody's disk. */
function leaderWithBatch() {
  const raft = newCore();
  const requests = newRequests(raft);
  electAndSettle(raft);
  turn(raft, requests);
  const batch = batchOf(1);
  requests.propose(batch, 0);
  const write = turn(raft, requests);
  return { raft, requests, batch, writing: write?.turn ?? 0 };
}

function newRequests(raft: Raft): Requests {
  const options = nodeOptions();
  return new Requests(
    raft,
    new Sessions(raft, new HeldStorage(), options, {
      onProgress: () => {},
      onTaken: () => {},
      onSubscription: () => {},
    }),
    { refusal: undefined },
    options,
    () => {},
  );
}

function turn(raft: Raft, requests: Requests): TurnWrite | undefined {
  requests.step(0, new KeptTransport(), 0);
  const ready = raft.takeReady();
  requests.onReady(ready);
  return ready.write;
}

function keptReads() {
  const answers: string[] = [];
  const done = (result: ReadIndexResult): void => {
    answers.push(result.kind === "readIndex" ? `${result.index}` : result.failure.reason);
  };
  return { answers, done };
}

describe("a leadership that ends", () => {
  it("leaves the outcome of what was appended in it unknown", () => {
    const { raft, requests, batch } = leaderWithBatch();
    receive(raft, appendEntries({ term: 2, prev: { index: 1, term: 1 } }));
    requests.onReady(raft.takeReady());
    expect(batch.answers).toEqual(["OUTCOME_UNKNOWN"]);
  });

  it("is noticed when it is lost and won again within one turn", () => {
    const { raft, requests, batch, writing } = leaderWithBatch();
    raft.step({ kind: "persisted", turn: writing });
    receive(raft, appendEntries({ term: 2, prev: { index: 1, term: 1 } }));
    elect(raft);
    requests.onReady(raft.takeReady());
    expect(raft.currentTerm).toBe(3);
    expect(batch.answers).toEqual(["OUTCOME_UNKNOWN"]);
  });
});

describe("read barriers", () => {
  it("forwarded to a leader that can't confirm them are asked for again, and not answered", () => {
    const raft = newCore();
    const requests = newRequests(raft);
    receive(raft, appendEntries());
    drain(raft);
    const { answers, done } = keptReads();
    requests.readIndex(undefined, 0, done);
    const transport = new KeptTransport();
    requests.step(0, transport, 0);
    transport.forwarded[0]?.done({ kind: "notSent" });
    expect(answers).toEqual([]);
    requests.step(0, transport, 0);
    transport.forwarded[1]?.done({ kind: "readIndex", index: 5, term: 1 });
    expect(answers).toEqual(["5"]);
  });

  it("from another node are answered by the leader of their term alone, and by no other", () => {
    for (const { leading, current, answer } of [
      { leading: 3, current: 3, answer: [] },
      { leading: 4, current: 4, answer: ["TERM_CHANGED"] },
      { leading: undefined, current: 3, answer: ["NOT_LEADER"] },
    ]) {
      const reads = new Reads(3);
      const { answers, done } = keptReads();
      reads.add(100, done, 3);
      reads.refuseForwarded(leading, current);
      expect(answers).toEqual(answer);
    }
  });

  it("are answered once, however late a confirmation comes", () => {
    const reads = new Reads(3);
    const { answers, done } = keptReads();
    reads.add(100, done);
    const group = reads.takeGroup();
    reads.expire(100);
    if (group !== undefined) reads.onConfirmed(group, 5, 1);
    expect(answers).toEqual(["NO_LEADER"]);
  });

  it("without an answer are bounded", () => {
    const reads = new Reads(2);
    const { answers, done } = keptReads();
    for (let i = 0; i < 3; i++) reads.add(100, done);
    expect(answers).toEqual(["OVERLOADED"]);
  });

  it("of a leader are confirmed by its own core", () => {
    const raft = newCore();
    const requests = newRequests(raft);
    electAndSettle(raft);
    const { answers, done } = keptReads();
    requests.readIndex(undefined, 0, done);
    requests.step(0, new KeptTransport(), 0);
    const ready = raft.takeReady();
    requests.onReady(ready);
    answerAll(raft, ready.messages);
    turn(raft, requests);
    expect(answers).toEqual(["1"]);
  });
});
