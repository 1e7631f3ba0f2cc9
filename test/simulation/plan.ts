import { SESSION_LIMITS } from "../../src/session/session-table.ts";
import type { Workload } from "./clients.ts";
import type { NetworkFaults } from "./network.ts";
import { HEALTHY_NETWORK } from "./network.ts";
import { Random } from "./random.ts";
import type { SnapshotHabit } from "./service.ts";
import { DEFAULT_NODE, type WorldOptions } from "./world.ts";

/** What can be done to a cluster, each by its name in the summary and on the command line. */
export const TROUBLES = [
  "isolate a node",
  "isolate the leader",
  "split in two",
  "cut one way",
  "cut a pair",
  "cut at random",
  "heal the network",
  "storm",
  "flap links",
  "refuse connections",
  "strike new leaders",
  "crash a node",
  "crash the leader",
  "crash a majority",
  "crash all",
  "crash in a turn",
  "drain and restart",
  "pause a node",
  "pause the leader",
  "pause and cut off the leader",
  "change a clock's rate",
  "jump a clock",
  "slow a disk",
  "hang a disk",
  "report writes late",
  "fail a sync",
  "fail a read",
  "fill a disk",
  "nearly fill a disk",
  "empty a directory",
  "stall a subscriber",
  "move a subscriber",
] as const;

export type Trouble = (typeof TROUBLES)[number];

/** Everything that a seed decides before time begins. */
export interface Plan {
  readonly seed: number;
  readonly size: number;
  readonly node: WorldOptions["node"];
  readonly workload: Workload;
  /** What goes on all the time. */
  readonly network: NetworkFaults;
  /** The troubles of this seed, and how long it is from one to the next of a kind on average. */
  readonly troubles: ReadonlyMap<Trouble, number>;
  readonly subscribers: number;
  /** Those whose place the cluster remembers. */
  readonly durable: number;
  readonly snapshots: SnapshotHabit;
  /** For how long there is trouble. After it everything is whole again. */
  readonly troubleMs: number;
}

/** A plan that somebody has made shorter need not be lively. */
export const WHOLE_TROUBLE_MS = 24_000;

const SIZES = [1, 2, 3, 3, 3, 3, 4, 5, 5, 7] as const;

/** Of all seeds, those that look for what Figure 8 of the paper shows. */
const FIGURE_8_SHARE = 0.1;

/** How many of the kinds of trouble a seed has, at the least and at the most: rare combinations come from few kinds. */
const MIN_KINDS = 2;
const MAX_KINDS = 9;

export function planOf(seed: number): Plan {
  const random = Random.of(seed, "plan");
  const size = random.pick(SIZES);
  const plan = {
    seed,
    size,
    node: drawNode(random),
    workload: drawWorkload(random),
    network: drawNetwork(random),
    troubles: drawTroubles(random),
    subscribers: random.below(3),
    durable: random.pick([0, 0, 1, 2]),
    snapshots: {
      everyEntries: random.pick([10, 30, 100, Number.POSITIVE_INFINITY]),
      maxLateMs: random.pick([1, 100, 2_000]),
    },
    troubleMs: WHOLE_TROUBLE_MS,
  };
  return random.chance(FIGURE_8_SHARE) ? likeFigure8(plan) : plan;
}

/** Leaders that fall as soon as they are elected, while entries travel one by one: old entries reach majorities alone. */
function likeFigure8(plan: Plan): Plan {
  return {
    ...plan,
    size: 5,
    node: { ...plan.node, tickMs: 10, maxAppendBytes: 1, maxInFlight: 1 },
    network: { ...HEALTHY_NETWORK, maxDelayMs: 13, ordered: false },
    troubles: new Map<Trouble, number>([["strike new leaders", 500]]),
  };
}

function drawNode(random: Random): WorldOptions["node"] {
  return {
    ...DEFAULT_NODE,
    tickMs: random.pick([10, 20, 50, 50]),
    heartbeatMs: random.pick([50, 100, 100]),
    proposalTimeoutMs: random.pick([1_000, 5_000]),
    maxProposals: random.pick([6, 50, 16_384]),
    maxReads: random.pick([5, 16_384]),
    // So little that followers and subscribers have to be served from the disk.
    cacheBytes: random.pick([0, 300, 32 * 1024 * 1024]),
    // So little that entries which belong together travel one by one.
    maxAppendBytes: random.pick([1, 200, 1024 * 1024]),
    maxInFlight: random.pick([1, 1, 64]),
    maxInFlightBytes: random.pick([100, 8 * 1024 * 1024]),
    sessionLimits: random.pick([SESSION_LIMITS, { window: 100, entries: 1_000, clients: 9 }]),
    sessionCheckpointEntries: random.pick([7, 100]),
    catchUpEntries: random.pick([0, 0, 5, 50]),
    minCompactedEntries: random.pick([1, 10, 1_000]),
    // So little that a table changes while it is encoded.
    sessionEncodeEntries: random.pick([1, 10, 8_192]),
  };
}

function drawWorkload(random: Random): Workload {
  return {
    clients: 1 + random.below(8),
    keys: random.pick([1, 5, 20]),
    callsPerSecond: random.pick([20, 25, 40]),
    reads: random.pick([0.1, 0.3, 0.5]),
    compareAndSets: random.pick([0, 0.3]),
    batches: random.pick([0, 0.1, 0.5]),
    deadlines: random.pick([0, 0.2]),
    retries: random.pick([0, 0.3, 1]),
    fences: random.pick([0, 0, 0.3]),
    maxCommandBytes: random.pick([4, 60, 400]),
    maxOpen: random.pick([4, 20, 60]),
  };
}

function drawNetwork(random: Random): NetworkFaults {
  const sometimes = (rate: number): number => (random.chance(0.3) ? rate * random.fraction() : 0);
  return {
    ...HEALTHY_NETWORK,
    maxDelayMs: random.pick([0.5, 0.5, 5, 26, 100]),
    ordered: random.chance(0.5),
    drop: sometimes(0.1),
    dropAnswers: sometimes(0.1),
    duplicate: sometimes(0.2),
    veryLate: sometimes(0.02),
    lateAnswers: sometimes(0.1),
    leftover: random.pick([0, 0.2, 1]),
    falseRefusals: random.pick([0, 0, 0.3, 1]),
  };
}

function drawTroubles(random: Random): Map<Trouble, number> {
  const kinds = MIN_KINDS + random.below(MAX_KINDS - MIN_KINDS + 1);
  const troubles = new Map<Trouble, number>();
  while (troubles.size < kinds) troubles.set(random.pick(TROUBLES), random.pick([1_000, 3_000, 8_000]));
  return troubles;
}
