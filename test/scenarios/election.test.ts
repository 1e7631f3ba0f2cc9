import { expect, it } from "vitest";
import { ELECTION_TIMEOUT_MS, Lab, scenario } from "./lab.ts";

scenario("initial election: three nodes agree on a leader and a term of at least 1, and keep both", 3, (lab) => {
  const leader = lab.oneLeader();
  const terms = (): number[] => lab.processes.map(({ node }) => node.state().term);
  const [term = 0] = terms();
  expect(term).toBeGreaterThanOrEqual(1);
  lab.settle();
  expect(lab.oneLeader()).toBe(leader);
  expect(terms()).toEqual([term, term, term]);
});

scenario("re-election: another leads while the leader is cut off; without a quorum nobody does", 3, (lab) => {
  const first = lab.oneLeader();
  lab.disconnect(first);
  const second = lab.oneLeader();
  expect(second).not.toBe(first);

  lab.connect(first);
  expect(lab.oneLeader()).toBe(second);

  const [other] = lab.others(second);
  if (other === undefined) throw new Error("two follow");
  lab.disconnect(second, other);
  lab.settle();
  lab.noLeader();
  lab.settle();
  lab.noLeader();

  lab.connect(other);
  const third = lab.oneLeader();
  lab.connect(second);
  expect(lab.oneLeader()).toBe(third);
});

scenario("many elections: of seven nodes, with any three cut off, one leads the other four", 7, (lab) => {
  lab.oneLeader();
  for (let round = 0; round < 10; round++) {
    const three = lab.pick(3);
    lab.disconnect(...three);
    lab.oneLeader();
    lab.connect(...three);
  }
  lab.oneLeader();
});

it.each([3, 5])("after their leader's crash %i nodes lead and commit again within 5 election timeouts", (size) => {
  let mostMs = 0;
  for (let seed = 1; seed <= 200; seed++) mostMs = Math.max(mostMs, recoveryMs(size, seed));
  expect(mostMs).toBeLessThanOrEqual(5 * ELECTION_TIMEOUT_MS);
});

/** From a leader's crash to the first commit of its successor. */
function recoveryMs(size: number, seed: number): number {
  const lab = new Lab(size, seed);
  const old = lab.oneLeader();
  lab.one("before", size);
  lab.run(lab.random.nemesis.between(0, ELECTION_TIMEOUT_MS));
  const before = lab.properties.commitIndex;
  const crashedMs = lab.nowMs;
  lab.crash(old);
  const hasRecovered = (): boolean => lab.leading !== undefined && lab.properties.commitIndex > before;
  expect(lab.runUntil(hasRecovered, 20 * ELECTION_TIMEOUT_MS)).toBe(true);
  return lab.nowMs - crashedMs;
}
