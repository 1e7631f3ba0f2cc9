import { expect, it } from "vitest";
import { MAX_TERM, MAX_TERM_LEAP } from "../../src/raft/types.ts";
import { DEFAULT_NODE, World } from "../simulation/world.ts";
import { type Call, leaderOf, NEVER, newWorld, nodeOf, propose, threeOf } from "./world.ts";

it("takes what comes before it is started for its first turn", () => {
  const world = new World({ seed: 1, size: 3, node: DEFAULT_NODE });
  world.startAll();
  const [, follower] = threeOf(world);
  follower.crash(NEVER);
  // The listeners of a node are open before it is started: a restarted member is dialed at once.
  follower.start({ startDelayMs: 2_000 });
  world.run(1_950);
  expect(nodeOf(follower).state().term).toBeGreaterThan(0);
  world.run(1_000);
  expect(nodeOf(follower).state().leader).toBe(world.leader?.host.id);
});

it("adopts no term that no elections explain, as there would be none left for those to come (PITFALL 57)", () => {
  const world = newWorld();
  const leader = leaderOf(world);
  const [one, two] = threeOf(world).filter((host) => host !== leader);
  const { term } = nodeOf(leader).state();
  for (const tooHigh of [term + MAX_TERM_LEAP + 1, MAX_TERM]) {
    const vote = { kind: "requestVote", from: one?.id ?? "", to: two?.id ?? "", term: tooHigh } as const;
    const lastLog = { index: 1_000, term };
    expect(two && nodeOf(two).onMessage({ ...vote, lastLog, preVote: false })).toContain("out of reach");
  }
  world.run(1_000);
  expect(world.hosts.map((host) => nodeOf(host).state().term)).toEqual([term, term, term]);
});

it("holds no more uncommitted than its limits, however long the others' disks hang", () => {
  const world = newWorld({ node: { maxProposals: 100, proposalTimeoutMs: 1_000 } });
  const leader = leaderOf(world);
  for (const host of world.hosts) {
    if (host !== leader) host.diskFaults.hungUntilMs = world.nowMs + 60_000;
  }
  const calls: Call[] = [];
  for (let i = 0; i < 500; i++) {
    calls.push(propose(leader, `${i}`));
    world.run(100);
  }
  expect(world.leader?.host).toBe(leader);
  const { last, commit } = nodeOf(leader).state();
  expect(last - commit).toBe(100);
  expect(calls.filter(({ answers }) => answers[0] === "OVERLOADED").length).toBe(400);
  world.run(15_000);
  const { answers } = propose(leader, "after");
  world.run(1_000);
  expect(answers[0]).toBeGreaterThan(last);
});

it("as a new leader appends no command before its no-op has committed: what can't commit is absent for certain", () => {
  const world = newWorld();
  const [old, next, other] = threeOf(world);
  old.crash(NEVER);
  expect(world.runUntil(() => world.leader !== undefined, 10_000)).toBe(true);
  const [elect, voter] = next.process === world.leader ? [next, other] : [other, next];
  voter.diskFaults.hungUntilMs = world.nowMs + 60_000;
  const { answers } = propose(elect, "not yet");
  world.run(6_000);
  expect(world.leader?.host).toBe(elect);
  expect(answers).toEqual(["NOT_APPENDED"]);
});

it("is not ready once its disk has kept a write waiting for seconds, and is again when the disk is back", () => {
  const world = newWorld();
  const [leader, follower] = threeOf(world);
  const reason = (): string => nodeOf(follower).status().notReadyReason;
  follower.diskFaults.hungUntilMs = world.nowMs + 8_000;
  propose(leader, "held up");
  world.run(3_000);
  expect(reason()).toBe("");
  world.run(4_000);
  expect(reason()).toContain("disk");
  world.run(2_000);
  expect(reason()).toBe("");
});
