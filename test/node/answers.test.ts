import { describe, expect, it } from "vitest";
import type { Host } from "../simulation/host.ts";
import { Subscriber } from "../simulation/subscriber.ts";
import type { World } from "../simulation/world.ts";
import { FITTING, verdicts } from "./verdicts.ts";
import {
  type Call,
  cutPair,
  isolate,
  LONGEST_MS,
  leaderOf,
  NEVER,
  newWorld,
  nodeOf,
  propose,
  readIndex,
  regularly,
  threeOf,
} from "./world.ts";

interface Calls {
  readonly appended: Call;
  readonly waiting: Call;
  readonly ordered: Call;
  readonly barrier: Call;
}

const answersOf = (calls: Calls) => Object.entries(calls).map(([name, { answers }]) => [name, ...answers]);

const proposalsOf = ({ barrier, ...proposals }: Calls): Map<string, Call> => new Map(Object.entries(proposals));

function slowDown(hosts: readonly Host[], writeMs: number): void {
  for (const { diskFaults } of hosts) Object.assign(diskFaults, { minWriteMs: writeMs, maxWriteMs: writeMs });
}

/** A leader with one proposal in its log, others that wait for the disk, and a barrier, none of it answered. */
function busyLeader(): { world: World; leader: Host; follower: Host; calls: Calls } {
  const world = newWorld();
  const [leader, follower] = threeOf(world);
  world.run(1_000);
  slowDown(world.hosts, 200);
  const appended = propose(leader, "appended");
  world.run(5);
  // The disk has its two turns.
  propose(leader, "appended too");
  world.run(5);
  const waiting = propose(leader, "waiting");
  const ordered = propose(leader, "ordered", { ordered: true });
  isolate(world, leader);
  const barrier = readIndex(leader);
  world.run(5);
  return { world, leader, follower, calls: { appended, waiting, ordered, barrier } };
}

/** A follower whose leader doesn't answer, and that knows of no leader for what came later. */
function busyFollower(): { world: World; leader: Host; follower: Host; calls: Calls } {
  const world = newWorld({ node: { cacheBytes: 0 } });
  const [leader, follower, other] = threeOf(world);
  world.run(1_000);
  slowDown(world.hosts, 200);
  const appended = propose(follower, "appended");
  world.run(5);
  // Its connection is there, and nobody answers; who leads it doesn't know any more.
  leader.pause(4_000);
  cutPair(world, follower, other);
  expect(world.runUntil(() => nodeOf(follower).state().leader === "", 2_000)).toBe(true);
  const waiting = propose(follower, "waiting");
  const ordered = propose(follower, "ordered", { ordered: true });
  const barrier = readIndex(follower);
  world.run(5);
  return { world, leader, follower, calls: { appended, waiting, ordered, barrier } };
}

describe("every call gets one answer, and a true one, from a node", () => {
  it("that drains: at once what wasn't appended, and later what was", () => {
    const { world, leader, calls } = busyLeader();
    world.network.heal();
    let drained = false;
    leader.process?.node.drain(() => {
      drained = true;
    });
    const refused = [
      ["waiting", "DRAINING"],
      ["ordered", "DRAINING"],
      ["barrier", "DRAINING"],
    ];
    expect({ drained, answers: answersOf(calls) }).toEqual({ drained: false, answers: [["appended"], ...refused] });
    world.run(5_000);
    expect({ drained, answers: answersOf(calls) }).toEqual({
      drained: true,
      answers: [["appended", expect.any(Number)], ...refused],
    });
    for (const verdict of verdicts(leader, proposalsOf(calls))) expect(FITTING).toContain(verdict);
  });

  it("that stops with what nobody could commit", () => {
    const { world, leader, calls } = busyLeader();
    leader.process?.drain(NEVER);
    world.run(5_000);
    expect(answersOf(calls)).toEqual([
      ["appended", "OUTCOME_UNKNOWN"],
      ["waiting", "DRAINING"],
      ["ordered", "DRAINING"],
      ["barrier", "DRAINING"],
    ]);
  });

  it("that drains with what it has forwarded, and with what waits for a leader", () => {
    const { world, follower, calls } = busyFollower();
    follower.process?.drain(NEVER);
    world.run(5_000);
    expect(answersOf(calls)).toEqual([
      ["appended", "OUTCOME_UNKNOWN"],
      ["waiting", "DRAINING"],
      ["ordered", "DRAINING"],
      ["barrier", "DRAINING"],
    ]);
    for (const verdict of verdicts(leaderOf(world), proposalsOf(calls))) expect(FITTING).toContain(verdict);
  });

  it("whose leader drains before it has appended: the next one does, or it is absent", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    world.run(1_000);
    slowDown([leader], 200);
    for (let i = 0; i < 2; i++) {
      propose(leader, `${i}`);
      world.run(5);
    }
    const calls = new Map([
      ["any", propose(follower, "any")],
      ["ordered", propose(follower, "ordered", { ordered: true })],
    ]);
    world.run(5);
    leader.process?.drain(NEVER);
    world.run(5_000);
    expect(calls.get("any")?.answers).toEqual([expect.any(Number)]);
    expect(calls.get("ordered")?.answers).toEqual(["NOT_APPENDED"]);
    for (const verdict of verdicts(leaderOf(world), calls)) expect(FITTING).toContain(verdict);
  });

  it("whose leader answers after the time is up", () => {
    const world = newWorld();
    const [leader, follower] = threeOf(world);
    world.run(1_000);
    const call = propose(follower, "late");
    const barrier = readIndex(follower);
    leader.pause(8_000);
    // Longer than the leader itself would wait, so that its own answer comes first.
    world.run(5_700);
    expect(call.answers).toEqual([]);
    world.run(200);
    expect(call.answers).toEqual(["OUTCOME_UNKNOWN"]);
    world.run(10_000);
    // A barrier is asked of the next leader; a proposal is not.
    expect([call, barrier].map(({ answers }) => answers)).toEqual([["OUTCOME_UNKNOWN"], [expect.any(Number)]]);
    for (const verdict of verdicts(leaderOf(world), new Map([["late", call]]))) expect(FITTING).toContain(verdict);
  });

  it.each(["leads", "follows"])("that %s when its disk fails", (role) => {
    const { world, leader, follower, calls } = role === "leads" ? busyLeader() : busyFollower();
    const host = role === "leads" ? leader : follower;
    Object.assign(host.diskFaults, { failNext: true, failNextRead: true });
    new Subscriber(world, "who has the follower read").subscribe(host);
    expect(world.runUntil(() => host.process === undefined, 5_000)).toBe(true);
    expect(world.counters.get("failed disk")).toBe(1);
    expect(answersOf(calls)).toEqual([
      ["appended", "OUTCOME_UNKNOWN"],
      ["waiting", "DATA_LOSS"],
      ["ordered", "DATA_LOSS"],
      ["barrier", "DATA_LOSS"],
    ]);
    world.network.heal();
    world.run(10_000);
    expect(answersOf(calls).flat()).toHaveLength(8);
    for (const verdict of verdicts(leaderOf(world), proposalsOf(calls))) expect(FITTING).toContain(verdict);
  });

  it("that stands still while the deadlines of its calls pass, before and after they reach it", () => {
    for (const which of ["leader", "follower", "nobody"]) {
      for (const seed of [1, 2, 3]) {
        const world = newWorld({ seed });
        const [leader, follower, other] = threeOf(world);
        const host = which === "leader" ? leader : follower;
        world.run(1_000);
        if (which === "nobody") {
          cutPair(world, follower, leader);
          cutPair(world, follower, other);
          world.runUntil(() => nodeOf(follower).state().leader === "", 5_000);
        }
        const proposals = new Map<string, Call>();
        const barriers: Call[] = [];
        const callAll = (when: string): void => {
          for (const deadlineMs of [1, 100, 500, 10_000]) {
            const command = `${when} ${deadlineMs}`;
            proposals.set(command, propose(host, command, { deadlineMs }));
            barriers.push(readIndex(host, { deadlineMs }));
          }
        };
        callAll("long before");
        world.run(0.3);
        callAll("right before");
        host.pause(2_000);
        callAll("meanwhile");
        world.run(1_900);
        world.network.heal();
        world.run(15_000);
        for (const { answers } of [...proposals.values(), ...barriers]) expect(answers).toHaveLength(1);
        for (const verdict of verdicts(leaderOf(world), proposals)) expect(FITTING).toContain(verdict);
      }
    }
  });

  it("whatever happens to it but its sudden end", () => {
    for (const seed of [1, 2, 3]) {
      const world = newWorld({ seed });
      leaderOf(world);
      const { nemesis: random } = world.random;
      const calls = new Map<string, Call>();
      const barriers: Call[] = [];
      regularly(world, 25, 15_000, (round) => {
        for (const host of world.hosts) {
          if (host.process === undefined) continue;
          const deadline = random.chance(0.3) ? { deadlineMs: random.between(1, 1_000) } : {};
          const command = `${round} at ${host.id}`;
          calls.set(command, propose(host, command, { ordered: random.chance(0.3), ...deadline }));
          if (random.chance(0.2)) barriers.push(readIndex(host, deadline));
        }
        const host = random.pick(world.hosts);
        if (round % 60 === 10) host.process?.drain(random.between(1, 500));
        if (round % 60 === 25) host.diskFaults.failNext = true;
        if (round % 60 === 40) host.pause(random.between(100, 2 * LONGEST_MS));
        if (round % 60 === 50) isolate(world, host);
        if (round % 60 === 59) world.network.heal();
      });
      world.network.heal();
      world.run(15_000);
      for (const { answers } of [...calls.values(), ...barriers]) expect(answers).toHaveLength(1);
      for (const verdict of verdicts(leaderOf(world), calls)) expect(FITTING).toContain(verdict);
      expect(world.counters.get("failed disk")).toBeGreaterThan(3);
      expect(world.counters.get("drain")).toBeGreaterThan(3);
      expect(world.counters.get("pause")).toBeGreaterThan(3);
    }
  });
});
