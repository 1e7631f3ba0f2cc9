import { assert } from "../../src/assert.ts";
import { Clients } from "./clients.ts";
import { DurableSubscriber } from "./durable-subscriber.ts";
import { History } from "./history.ts";
import type { Process } from "./host.ts";
import { Nemesis } from "./nemesis.ts";
import { type Plan, WHOLE_TROUBLE_MS } from "./plan.ts";
import { Random } from "./random.ts";
import { Service, type SnapshotHabit } from "./service.ts";
import { Subscriber } from "./subscriber.ts";
import { HISTORIES } from "./summary.ts";
import { judge } from "./verdict.ts";
import { World } from "./world.ts";

/** What came of a seed. */
export interface Outcome {
  readonly digest: number;
  readonly virtualMs: number;
  readonly elections: number;
  readonly commits: number;
  /** From the end of the trouble to a leader and a new commit, in election timeouts (the longest). */
  readonly recoveryTimeouts: number;
  /** Whether it was long and lively enough to count. */
  readonly counts: boolean;
  readonly counters: readonly (readonly [string, number])[];
}

const COUNTED_MS = 30_000;
const COUNTED_ELECTIONS = 2;
const COUNTED_COMMITS = 200;

const CHANGE_OF_LEADER_MS = 12_000;
/** How long calls go on after the trouble, at the least: a whole seed lasts 30 s then. */
const CALLS_AFTER_MS = 4_500;
const RECOVERY_TIMEOUTS = 20;
/** Past it a seed that is still short of commits is left uncounted. */
const MAX_MS = 60_000;
const SETTLE_AT_LEAST_MS = 1_000;
const SETTLE_STEP_MS = 100;
const SERVE_MS = 100;
const REST_MS = 1_000;
/** Timers, redials, and messages that are very late. */
const MAX_IDLE_EVENTS = 200;

/** One life of a cluster, as a seed has it: trouble, recovery, rest. Throws what it finds wrong. */
export function runPlan(plan: Plan, transcript?: (line: string) => void): Outcome {
  const { seed, size, node, network, workload, troubles } = plan;
  const world = new World({ seed, size, node, ...(transcript === undefined ? {} : { transcript }) });
  Object.assign(world.network.faults, network);
  const history = new History();
  const clients = new Clients(world, workload, history, servicesOf(world, history, plan.snapshots));
  const subscribers = Array.from({ length: plan.subscribers }, (_, i) => new Subscriber(world, `subscriber ${i + 1}`));
  keepSubscribed(world, subscribers);
  const durable = Array.from({ length: plan.durable }, (_, i) => new DurableSubscriber(world, `durable ${i + 1}`));
  world.startAll();
  const nemesis = new Nemesis(world, troubles, subscribers);
  world.run(Math.min(plan.troubleMs, CHANGE_OF_LEADER_MS));
  if (plan.troubleMs > CHANGE_OF_LEADER_MS) {
    changeLeader(world, nemesis);
    world.run(plan.troubleMs - CHANGE_OF_LEADER_MS);
  }
  nemesis.heal();
  const recoveryMs = recover(world);
  world.run(Math.max(0, plan.troubleMs + CALLS_AFTER_MS - world.nowMs));
  if (plan.troubleMs >= WHOLE_TROUBLE_MS) world.runUntil(() => isLively(world), Math.max(0, MAX_MS - world.nowMs));
  clients.stop();
  for (const subscriber of durable) subscriber.stop();
  settle(world, clients, subscribers);
  serve(world);
  rest(world);
  world.counters.add(HISTORIES[judge(clients)]);
  return {
    digest: world.trace.digest,
    virtualMs: world.nowMs,
    elections: world.properties.elections,
    commits: world.properties.commitIndex,
    recoveryTimeouts: recoveryMs / node.electionTimeoutMaxMs,
    counts: isLively(world) && world.nowMs >= COUNTED_MS,
    counters: world.counters.entries(),
  };
}

/** One service beside each node, and at every start of it. */
function servicesOf(world: World, history: History, snapshots: SnapshotHabit): Service[] {
  const services = world.hosts.map((host) => new Service(world, history, host, snapshots));
  world.onStart(({ host }) => services[host.index]?.onStart());
  return services;
}

/** Subscribers of no node in particular: one whose node has ended goes on with any other. */
function keepSubscribed(world: World, subscribers: readonly Subscriber[]): void {
  world.onStart(({ host }) => {
    for (const subscriber of subscribers) if (subscriber.process === undefined) subscriber.subscribe(host);
  });
}

function isLively({ properties }: World): boolean {
  return properties.elections >= COUNTED_ELECTIONS && properties.commitIndex >= COUNTED_COMMITS;
}

/** Every seed shall see a change of leader. */
function changeLeader(world: World, nemesis: Nemesis): void {
  const random = Random.of(world.options.seed, "change of leader");
  nemesis.make(random.pick(["crash the leader", "isolate the leader"]), random);
  world.scheduler.in(random.between(1_500, 3_000), () => world.network.heal());
}

/** A leader, and something new committed, within 20 of the longest election timeouts. Returns how long it took. */
function recover(world: World): number {
  const healedMs = world.nowMs;
  const before = world.properties.commitIndex;
  const hasRecovered = (): boolean => world.properties.commitIndex > before && world.leader !== undefined;
  const recovered = world.runUntil(hasRecovered, RECOVERY_TIMEOUTS * world.options.node.electionTimeoutMaxMs);
  assert(recovered, `no leader with a new commit, ${RECOVERY_TIMEOUTS} election timeouts after the last trouble`);
  return world.nowMs - healedMs;
}

/** Every call has its answer, and every log and subscriber has everything. */
function settle(world: World, clients: Clients, subscribers: readonly Subscriber[]): void {
  world.run(SETTLE_AT_LEAST_MS);
  const isSettled = (): boolean => {
    const last = world.leader?.node.state().last;
    return (
      clients.open === 0 &&
      world.hosts.every(({ process }) => process !== undefined && isAt(process.node.state(), last)) &&
      clients.services.every(({ position }) => position === last) &&
      subscribers.every((subscriber) => subscriber.process === undefined || subscriber.position === last)
    );
  };
  while (!isSettled() && world.nowMs < 2 * MAX_MS) world.run(SETTLE_STEP_MS);
  assert(clients.open === 0, `these calls are never answered: ${clients.describeOpen()}`);
  const states = world.hosts.map(
    ({ id, process, index }) =>
      `${id} ${JSON.stringify(process?.node.state())}, its service ${clients.services[index]?.position}`,
  );
  assert(isSettled(), `the cluster does not settle: ${states.join("; ")}`);
}

function isAt(state: { readonly last: number; readonly applied: number }, last: number | undefined): boolean {
  return state.last === last && state.applied === last;
}

/** Every node answers a read, with no word of who leads or that it should be tried again. */
function serve(world: World): void {
  const served = new Set<Process>();
  for (const process of world.processes) {
    process.run(() => process.node.readIndex(undefined, ({ kind }) => kind === "readIndex" && served.add(process)));
  }
  world.run(SERVE_MS);
  const silent = world.processes.filter((process) => !served.has(process)).map(({ host }) => host.id);
  assert(silent.length === 0, `${silent.join(", ")} serve no read, though all is well`);
}

/** An idle cluster keeps its leader, sends heartbeats and nothing else, and holds nothing. */
function rest(world: World): void {
  const { size, node } = world.options;
  const term = world.leader?.node.state().term;
  // Answers are not counted: some are to what was still very late.
  const sent = world.counters.get("requests sent");
  world.run(REST_MS);
  assert(world.leader?.node.state().term === term, "an idle cluster keeps its leader");
  const heartbeats = Math.ceil(REST_MS / node.heartbeatMs) + 1;
  const most = heartbeats * (size - 1) + size;
  const more = world.counters.get("requests sent") - sent;
  assert(more <= most, `an idle cluster sends ${more} requests in ${REST_MS} ms, more than ${most}`);
  for (const process of world.processes) {
    const { proposalsInFlight } = process.node.status();
    assert(proposalsInFlight === 0, `${process.host.id} still holds ${proposalsInFlight} proposals`);
  }
  assert(world.scheduler.size < MAX_IDLE_EVENTS * size, `${world.scheduler.size} events wait in an idle cluster`);
  for (const process of world.processes) {
    let isDrained = false;
    process.run(() => process.node.drain(() => (isDrained = true)));
    assert(isDrained, `${process.host.id} holds something to answer, though nobody asks anything`);
  }
}
