import { Counters } from "./counters.ts";
import { TROUBLES } from "./plan.ts";
import type { Outcome } from "./seed.ts";
import type { Linearizability } from "./verdict.ts";

/** What must have happened in a run of many seeds: a fault that never fires is a fault of the simulation. */
const EXPECTED = [
  ...TROUBLES.map((trouble) => `trouble: ${trouble}`),
  ...["messages dropped", "messages duplicated", "messages very late", "messages into a cut"],
  ...["messages into a one-way cut", "messages that overtake", "answers late"],
  ...["messages of an earlier connection", "connections broken", "dials refused", "handshakes refused"],
  ...["members refused that have ended", "members refused that live"],
  ...["crash", "crashes inside a turn", "drain", "pause", "failed disk", "failed syncs", "failed reads"],
  ...[
    "writes to a full disk",
    "writes held by a hung disk",
    "writes reported late",
    "unsynced writes kept",
    "unsynced writes lost",
  ],
  ...[
    "turns",
    "disk turns",
    "frames written",
    "writes lost under way",
    "disk reads",
    "new leaders struck",
    "subscribers stalled",
  ],
  ...["retries", "duplicates recognised", "session checkpoints", "batches stopped"],
  ...["NO_LEADER", "NOT_APPENDED", "OUTCOME_UNKNOWN", "OVERLOADED", "DRAINING"].map((reason) => `answers ${reason}`),
  ...["TERM_CHANGED", "SEQUENCE_TOO_OLD", "DISK_LOW"].map((reason) => `answers ${reason}`),
];

/** By how each was decided. */
export const HISTORIES: Readonly<Record<Linearizability, string>> = {
  searched: "histories with an order found by search",
  witnessed: "histories too hard for the search, whose log is an order",
  undecided: "histories too hard to decide",
};

/** From so many seeds on, nothing of it can be missing by chance. */
const ENOUGH_SEEDS = 1_000;

/** Adds up what came of many seeds. */
export class Summary {
  readonly #counters = new Counters();
  readonly #recoveries: number[] = [];
  #seeds = 0;
  #counted = 0;
  #virtualMs = 0;
  #elections = 0;
  #commits = 0;

  add(outcome: Outcome): void {
    this.#seeds++;
    if (!outcome.counts) return;
    this.#counted++;
    this.#virtualMs += outcome.virtualMs;
    this.#elections += outcome.elections;
    this.#commits += outcome.commits;
    this.#recoveries.push(outcome.recoveryTimeouts);
    this.#counters.addAll(outcome.counters);
  }

  get counted(): number {
    return this.#counted;
  }

  get virtualHours(): number {
    return this.#virtualMs / 3_600_000;
  }

  /** What is wrong with the run as a whole: what never happened, or was not decided. */
  faults(): string[] {
    if (this.#counted < ENOUGH_SEEDS) return [];
    const missing = EXPECTED.filter((what) => this.#counters.get(what) === 0);
    const undecided = this.#counters.get(HISTORIES.undecided);
    return [
      ...missing.map((what) => `never happened: ${what}`),
      ...(undecided > 0 ? [`${undecided} histories were too hard to decide`] : []),
    ];
  }

  /** How often each thing happened, and how long recoveries took. */
  details(): string[] {
    const sorted = this.#recoveries.toSorted((a, b) => a - b);
    const at = (share: number): string => (sorted[Math.floor(share * (sorted.length - 1))] ?? 0).toFixed(2);
    const lines = this.#counters.entries().map(([what, times]) => `  ${String(times).padStart(12)}  ${what}`);
    const recovery = `median ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)}`;
    return [...lines, `a leader and a new commit after the trouble, in longest election timeouts: ${recovery}`];
  }

  line(violations: number): string {
    const seeds = `${this.#counted} counted seeds (of ${this.#seeds} run)`;
    const work = `${this.#elections} elections, ${this.#commits} commits`;
    return `${seeds}, ${this.virtualHours.toFixed(1)} virtual hours, ${work}, ${violations} violations`;
  }
}
