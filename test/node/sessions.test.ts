import { describe, expect, it } from "vitest";
import { type Conditions, NO_CONDITIONS } from "../../src/node/api.ts";
import type { Host } from "../simulation/host.ts";
import type { World } from "../simulation/world.ts";
import {
  type Call,
  commit,
  cutPair,
  isolate,
  leaderOf,
  NEVER,
  newWorld,
  nodeOf,
  others,
  propose,
  threeOf,
} from "./world.ts";

const idOf = (sequence: number, clientId = "a"): Conditions => ({ id: { clientId, sequence }, expectedTerm: 0 });
const inTerm = (expectedTerm: number, id?: Conditions["id"]): Conditions => ({ id, expectedTerm });

const proposeAs = (host: Host, sequence: number, clientId?: string): Call =>
  propose(host, "command", { conditions: idOf(sequence, clientId) });

/** Proposes and waits for the answer. */
function answerTo(world: World, host: Host, conditions: Conditions): Call["answers"][number] {
  const { answers } = propose(host, "command", { conditions });
  world.runUntil(() => answers.length > 0, 10_000);
  const [answer] = answers;
  if (answer === undefined) throw new Error("a proposal has no answer");
  return answer;
}

const lastOf = (host: Host): number => nodeOf(host).state().last;

/** The follower's answers can't reach anybody until the network is healed: what the leader appends stays uncommitted. */
function silence(world: World, leader: Host): void {
  for (const host of others(world, leader)) world.network.cut(host, leader);
}

describe("a proposal with the id of an earlier one (PITFALL 45)", () => {
  it("is answered with the place of the original, on any node, and appends nothing", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    const index = answerTo(world, leader, idOf(1));
    const last = lastOf(leader);
    for (const host of [leader, follower, leader]) expect(answerTo(world, host, idOf(1))).toBe(index);
    expect(lastOf(leader)).toBe(last);
    expect(answerTo(world, follower, idOf(2))).toBe(last + 1);
    expect(answerTo(world, follower, idOf(1, "b"))).toBe(last + 2);
  });

  it("waits for the original while that is not committed (PITFALL 59)", () => {
    const world = newWorld();
    const [leader] = threeOf(world);
    silence(world, leader);
    const original = proposeAs(leader, 1);
    world.run(20);
    const last = lastOf(leader);
    const retry = proposeAs(leader, 1);
    world.run(20);
    expect({ answers: [...original.answers, ...retry.answers], last: lastOf(leader) }).toEqual({ answers: [], last });
    world.network.heal();
    world.run(100);
    expect([original.answers, retry.answers]).toEqual([[last], [last]]);
  });

  it("is not taken for one when the original was lost with its leader (PITFALL 59)", () => {
    const world = newWorld();
    const [leader] = threeOf(world);
    isolate(world, leader);
    const lost = proposeAs(leader, 1);
    world.run(20);
    world.runUntil(() => world.leader !== undefined && world.leader.host !== leader, 5_000);
    const retry = answerTo(world, leaderOf(world), idOf(1));
    world.network.heal();
    world.run(3_000);
    expect(lost.answers).toEqual(["OUTCOME_UNKNOWN"]);
    expect(retry).toEqual(expect.any(Number));
    for (const host of world.hosts) expect(answerTo(world, host, idOf(1))).toBe(retry);
    // Nor does the old leader keep in mind what was taken from its log, when it leads again.
    world.runUntil(() => {
      const present = world.leader?.host;
      if (present === leader) return true;
      if (present !== undefined) isolate(world, present);
      world.run(2_000);
      world.network.heal();
      world.run(500);
      return false;
    }, 100_000);
    expect(answerTo(world, leader, idOf(1))).toBe(retry);
  });

  it("finds it when it survived its leader, and when all nodes have started again since", () => {
    const world = newWorld({ node: { sessionCheckpointEntries: 3 } });
    const [leader] = threeOf(world);
    const index = answerTo(world, leader, idOf(1));
    for (let i = 2; i < 9; i++) answerTo(world, leader, idOf(i));
    leader.crash(200);
    world.run(100);
    const next = leaderOf(world);
    expect(answerTo(world, next, idOf(1))).toBe(index);
    for (const host of world.hosts) host.crash(100);
    world.run(200);
    expect(answerTo(world, leaderOf(world), idOf(1))).toBe(index);
  });

  it("is remembered by a checkpoint for every so many entries, not for each", () => {
    const world = newWorld({ node: { sessionCheckpointEntries: 10 } });
    const [leader] = threeOf(world);
    for (let i = 1; i <= 40; i++) answerTo(world, leader, idOf(i));
    world.run(1_000);
    const saved = world.counters.get("session checkpoints");
    expect(saved).toBeGreaterThanOrEqual(3 * 3);
    expect(saved).toBeLessThanOrEqual(3 * 5);
  });

  it("is remembered by a checkpoint that is made bit by bit, without waiting for something to happen", () => {
    const world = newWorld({ size: 1, node: { sessionCheckpointEntries: 100, sessionEncodeEntries: 1 } });
    const leader = leaderOf(world);
    const { last } = nodeOf(leader).state();
    for (let i = last + 1; i <= 100; i++) answerTo(world, leader, idOf(1, `client ${i}`));
    // A tick takes 20 ms, and there are a hundred clients.
    world.run(200);
    expect(world.counters.get("session checkpoints")).toBe(1);
  });

  it("is remembered by a checkpoint after so many bytes as well, so that a start reads no more than that", () => {
    const world = newWorld({ node: { sessionCheckpointEntries: 1_000, sessionCheckpointBytes: 500 } });
    const [leader] = threeOf(world);
    for (let i = 1; i <= 40; i++) answerTo(world, leader, NO_CONDITIONS);
    world.run(1_000);
    const saved = world.counters.get("session checkpoints");
    expect(saved).toBeGreaterThanOrEqual(3);
    expect(saved).toBeLessThanOrEqual(3 * 5);
  });

  it("is refused once the window has moved on, and nothing is appended", () => {
    const world = newWorld({ node: { sessionLimits: { window: 4, entries: 100, clients: 10 } } });
    const [leader, follower] = threeOf(world);
    answerTo(world, leader, idOf(1));
    answerTo(world, leader, idOf(5));
    const last = lastOf(leader);
    expect(answerTo(world, follower, idOf(1))).toBe("SEQUENCE_TOO_OLD");
    expect(lastOf(leader)).toBe(last);
    expect(answerTo(world, follower, idOf(2))).toBe(last + 1);
  });
});

it("a batch with the same id twice appends its command once", () => {
  const world = newWorld();
  const [leader] = threeOf(world);
  const results: unknown[] = [];
  const last = lastOf(leader);
  nodeOf(leader).propose({
    commands: [1, 2, 3].map((byte) => Uint8Array.of(byte)),
    conditions: [idOf(1), idOf(2), idOf(1)],
    deadlineMs: undefined,
    ordered: true,
    done: (result) => results.push(result),
  });
  world.run(100);
  const { term } = nodeOf(leader).state();
  expect(results).toEqual([
    {
      kind: "each",
      outcomes: [
        { index: last + 1, term, duplicate: false },
        { index: last + 2, term, duplicate: false },
        { index: last + 1, term, duplicate: true },
      ],
    },
  ]);
  expect(lastOf(leader)).toBe(last + 2);
});

it("a new leader takes nothing in before it knows what its predecessors appended", () => {
  const world = newWorld({ node: { cacheBytes: 0 } });
  const [leader, follower, other] = threeOf(world);
  const index = answerTo(world, leader, idOf(1));
  // It has to read its log from a disk that takes its time.
  for (const host of [follower, other]) host.crash(10);
  leader.crash(NEVER);
  world.runUntil(() => world.leader !== undefined && world.leader.host !== leader, 5_000);
  const next = world.leader?.host ?? leader;
  const retry = proposeAs(next, 1);
  world.run(100);
  expect({ next: next.id, answers: retry.answers }).toEqual({
    next: expect.not.stringContaining(leader.id),
    answers: [index],
  });
});

describe("a proposal for one term", () => {
  it("is appended in that term, by whichever node it comes in", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    const { term } = nodeOf(leader).state();
    for (const host of [leader, follower]) expect(answerTo(world, host, inTerm(term))).toBe(lastOf(leader));
  });

  it("is refused in any other, and nothing is appended", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    const { term, last } = nodeOf(leader).state();
    for (const host of [leader, follower]) {
      expect(answerTo(world, host, inTerm(term + 1))).toBe("TERM_CHANGED");
      if (term > 1) expect(answerTo(world, host, inTerm(term - 1))).toBe("TERM_CHANGED");
    }
    expect(lastOf(leader)).toBe(last);
  });

  it("that was committed is found by its retry in a later term", () => {
    const world = newWorld();
    const [leader] = threeOf(world);
    const { term } = nodeOf(leader).state();
    const conditions = inTerm(term, { clientId: "a", sequence: 1 });
    const index = answerTo(world, leader, conditions);
    leader.crash(NEVER);
    world.run(50);
    const next = leaderOf(world);
    expect(nodeOf(next).state().term).toBeGreaterThan(term);
    expect(answerTo(world, next, conditions)).toBe(index);
    expect(answerTo(world, next, inTerm(term, { clientId: "a", sequence: 2 }))).toBe("TERM_CHANGED");
  });
});

it("a batch that stops on an error appends nothing after the command that is refused", () => {
  const world = newWorld();
  const [leader, follower] = threeOf(world);
  for (const host of [leader, follower]) {
    const { last, term } = nodeOf(leader).state();
    const results: unknown[] = [];
    nodeOf(host).propose({
      commands: [1, 2, 3].map((byte) => Uint8Array.of(byte)),
      conditions: [inTerm(term), inTerm(term + 1), inTerm(term)],
      stopOnError: true,
      deadlineMs: undefined,
      ordered: true,
      done: (result) => results.push(result),
    });
    world.run(100);
    expect(results).toMatchObject([
      {
        kind: "each",
        outcomes: [{ index: last + 1, term }, { reason: "TERM_CHANGED" }, { reason: "NOT_APPENDED" }],
      },
    ]);
    expect(lastOf(leader)).toBe(last + 1);
  }
});

it("a table is made again from entries larger than what one turn takes in", () => {
  const world = newWorld({ size: 1, node: { cacheBytes: 0 } });
  const leader = leaderOf(world);
  for (let i = 1; i <= 3; i++) {
    const { answers } = propose(leader, "x".repeat(1024 * 1024), { conditions: idOf(i) });
    world.runUntil(() => answers.length > 0, 10_000);
  }
  const index = answerTo(world, leader, idOf(2));
  leader.crash(10);
  world.runUntil(() => leader.process !== undefined, 1_000);
  expect(answerTo(world, leader, idOf(2))).toBe(index);
});

it("what was refused in a batch stays so when the rest of it is lost sight of", () => {
  const world = newWorld();
  const [leader] = threeOf(world);
  const { term } = nodeOf(leader).state();
  for (const host of others(world, leader)) cutPair(world, leader, host);
  const results: unknown[] = [];
  nodeOf(leader).propose({
    commands: [1, 2, 3].map((byte) => Uint8Array.of(byte)),
    conditions: [inTerm(term), inTerm(term + 1), inTerm(term)],
    stopOnError: true,
    deadlineMs: undefined,
    ordered: true,
    done: (result) => results.push(result),
  });
  world.run(10_000);
  expect(results).toMatchObject([
    { kind: "each", outcomes: [{ reason: "OUTCOME_UNKNOWN" }, { reason: "TERM_CHANGED" }, { reason: "NOT_APPENDED" }] },
  ]);
});

it("a leader that has yet to read its log for the sessions is not ready, and says why", () => {
  const world = newWorld({ size: 1, node: { cacheBytes: 0 } });
  const leader = leaderOf(world);
  // More than it reads in one turn.
  for (let i = 1; i <= 10; i++) commit(world, leader, "x".repeat(200_000));
  leader.crash(10);
  world.runUntil(() => leader.process !== undefined, 1_000);
  const reasons = new Set<string>();
  world.runUntil(() => {
    if (nodeOf(leader).state().commit === 0) return false;
    const { notReadyReason } = nodeOf(leader).status();
    reasons.add(notReadyReason.replace(/\d+/g, "N"));
    return notReadyReason === "";
  }, 10_000);
  expect([...reasons]).toEqual(["it leads, and reads its log for the sessions of clients: entry N of N", ""]);
});

it("a batch that stops on an error stops nobody else's, though they travel at the same time", () => {
  const world = newWorld();
  const [leader, follower] = threeOf(world);
  for (const host of [leader, follower]) {
    const { term } = nodeOf(leader).state();
    const results: unknown[] = [];
    const before = propose(host, "before");
    nodeOf(host).propose({
      commands: [1, 2].map((byte) => Uint8Array.of(byte)),
      conditions: [inTerm(term + 1), inTerm(term)],
      stopOnError: true,
      deadlineMs: undefined,
      ordered: true,
      done: (result) => results.push(result),
    });
    const after = propose(host, "after");
    world.run(100);
    expect([before.answers, after.answers]).toEqual([[expect.any(Number)], [expect.any(Number)]]);
    expect(results).toMatchObject([
      { kind: "each", outcomes: [{ reason: "TERM_CHANGED" }, { reason: "NOT_APPENDED" }] },
    ]);
  }
});

it("a leader that is cut off answers a retry of what is committed, and nothing else", () => {
  const world = newWorld();
  const [leader, follower, other] = threeOf(world);
  const index = answerTo(world, leader, idOf(1));
  commit(world, leader, "another");
  for (const host of [follower, other]) cutPair(world, leader, host);
  const known = proposeAs(leader, 1);
  const unknown = proposeAs(leader, 2);
  world.run(50);
  expect([known.answers, unknown.answers]).toEqual([[index], []]);
});
