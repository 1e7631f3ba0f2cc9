import { assert } from "../../../src/assert.ts";
import type { Configuration, NodeId } from "../../../src/raft/types.ts";
import { seededRandom } from "../../support/core.ts";
import { Cluster, type Faults } from "./cluster.ts";

const NAMES: readonly NodeId[] = ["a", "b", "c", "d", "e"];
const STEPS_PER_TICK = 4;

/** One life of a cluster: trouble for a while, then peace, in which it must recover and fall quiet. Returns its trace. */
export function runScenario(seed: number): number {
  const random = seededRandom(seed);
  const configuration = drawConfiguration(random);
  const core = {
    electionTimeoutMinTicks: 10,
    electionTimeoutMaxTicks: 20,
    heartbeatTicks: 1 + random(3),
    maxAppendBytes: [20, 100, 4096][random(3)] ?? 0,
    maxInFlight: 1 + random(8),
    maxInFlightBytes: [50, 500, 1_000_000][random(3)] ?? 0,
    cacheBytes: [0, 200, 1_000_000][random(3)] ?? 0,
  };
  const history = drawHistory(random, configuration);
  const proposeChance = [5, 30, 100][random(3)] ?? 0;
  const cluster = new Cluster({ configuration, core, history, proposeChance, readChance: 20 }, random);
  cluster.faults = drawFaults(random);
  cluster.run(1500);
  cluster.heal();
  const committed = cluster.properties.commitIndex;
  const timeoutSteps = core.electionTimeoutMaxTicks * STEPS_PER_TICK;
  cluster.run(15 * timeoutSteps);
  awaitLeader(cluster, timeoutSteps);
  cluster.proposeToLeader();
  cluster.run(3 * timeoutSteps);
  awaitLeader(cluster, timeoutSteps);
  assertRecovered(cluster, committed);
  assertQuiet(cluster, core.heartbeatTicks);
  return cluster.trace;
}

/** Clocks tick at random: now and then a leader without a fault loses its office to a late heartbeat. */
function awaitLeader(cluster: Cluster, timeoutSteps: number): void {
  for (let waited = 0; waited < timeoutSteps && cluster.leader === undefined; waited += 10) cluster.run(10);
}

function assertRecovered(cluster: Cluster, committedBefore: number): void {
  const leader = cluster.leader;
  assert(leader?.running !== undefined, "no leader, 20 election timeouts after the last fault");
  assert(leader.running.raft.commitIndex > committedBefore, "nothing new is committed after the last fault");
  cluster.stopClients();
  // The smallest windows need long.
  for (let i = 0; i < 50 && !hasConverged(cluster); i++) cluster.run(100);
  for (const { id, running, reads } of cluster.nodes.values()) {
    assert(running !== undefined, `${id} runs`);
    const { lastApplied, log } = running.raft;
    assert(log.lastIndex === leader.running.raft.log.lastIndex, `${id} has not converged: ${log.lastIndex}`);
    assert(lastApplied === log.lastIndex, `${id} applied ${lastApplied} of ${log.lastIndex}`);
    assert(reads.size === 0, `${id}: reads ${[...reads.keys()]} are never answered`);
  }
}

function hasConverged(cluster: Cluster): boolean {
  const last = cluster.leader?.running?.raft.log.lastIndex;
  return [...cluster.nodes.values()].every(
    ({ running, reads }) => running?.raft.lastApplied === last && reads.size === 0,
  );
}

/** An idle leader sends heartbeats and gets their answers, nothing else. */
function assertQuiet(cluster: Cluster, heartbeatTicks: number): void {
  const { sent, ticks, onTheWay } = cluster;
  const term = cluster.leader?.running?.raft.currentTerm;
  cluster.run(300);
  if (cluster.leader?.running?.raft.currentTerm !== term) return;
  const heartbeats = Math.ceil((cluster.ticks - ticks) / heartbeatTicks) + 1;
  const bound = heartbeats * 2 * (cluster.nodes.size - 1) + onTheWay + cluster.nodes.size;
  assert(cluster.sent - sent <= bound, `an idle cluster sent ${cluster.sent - sent} messages, more than ${bound}`);
}

function drawConfiguration(random: (bound: number) => number): Configuration {
  const voters = NAMES.slice(0, 1 + random(NAMES.length));
  const rest = NAMES.slice(voters.length);
  switch (random(4)) {
    case 0:
      return { voters, outgoing: [], learners: rest.slice(0, random(3)) };
    case 1:
      return { voters, outgoing: NAMES.slice(random(3), 3 + random(3)), learners: [] };
    default:
      return { voters, outgoing: [], learners: [] };
  }
}

function drawHistory(random: (bound: number) => number, configuration: Configuration) {
  if (random(3) > 0) return { terms: [], behindSnapshot: [] };
  return {
    terms: Array.from({ length: 1 + random(12) }, (_, i) => 1 + Math.floor(i / (1 + random(3)) / 4)).sort(
      (a, b) => a - b,
    ),
    behindSnapshot: configuration.voters.filter(() => random(2) === 0),
  };
}

function drawFaults(random: (bound: number) => number): Faults {
  const pick = (...values: number[]): number => values[random(values.length)] ?? 0;
  return {
    drop: pick(0, 0, 50, 200),
    duplicate: pick(0, 0, 100, 300),
    veryLate: pick(0, 10, 50),
    maxDelaySteps: pick(1, 3, 10, 40),
    ordered: random(2) === 0,
    maxDiskSteps: pick(0, 2, 10, 40),
    diskHangs: pick(0, 0, 10, 50),
    crash: pick(0, 2, 10),
    partition: pick(0, 3, 15),
    unreachable: pick(0, 0, 10, 50),
    refused: pick(0, 0, 10, 50),
  };
}
