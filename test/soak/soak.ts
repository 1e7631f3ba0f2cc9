import { Cluster, type ClusterNode } from "../support/cluster.ts";
import { BUILT_MAIN } from "../support/sidecar-process.ts";
import { sleep, until } from "../support/wait.ts";
import { Ledger } from "./ledger.ts";
import { Load } from "./load.ts";
import { writeReport } from "./report.ts";
import { lineOf, type NodeSample, type Sample } from "./sample.ts";
import { Service, Snapshots } from "./service.ts";
import type { LoadResult, LoadSample } from "./stream-load.ts";
import { Traveller } from "./traveller.ts";
import { diskBytes, residentBytes } from "./usage.ts";
import { verdictOf } from "./verdict.ts";

const SAMPLE_MS = 10_000;
const POLL_MS = 250;
const DOWN_MS = 5_000;
const CALL_MS = 2_000;

/** After a node is back it catches up for a while. */
const KILL_SHADOW_MS = 15_000;

/** All that was acknowledged is applied everywhere by then. */
const CATCH_UP_MS = 180_000;

export interface SoakOptions {
  readonly seconds: number;
  /** Commands a second. */
  readonly rate: number;
  readonly snapshotEvery: number;
  readonly stateBytes: number;
  readonly killEverySeconds: number;
  /** The folder for the summary and the plot. */
  readonly output: string;
  readonly write: (line: string) => void;
}

/** Three sidecars under load for a long time, with what applications do beside them. */
export class Soak {
  readonly #options: SoakOptions;
  readonly #ledger = new Ledger();
  readonly #snapshots = new Snapshots();
  readonly #samples: Sample[] = [];
  readonly #killsMs: number[] = [];
  #startMs = 0;
  /** Until when what is measured has to do with a kill. */
  #shadowMs = Number.NEGATIVE_INFINITY;
  /** Whether a snapshot was under way since the last sample. */
  #sawSnapshot = false;
  #pulls = 0;
  /** The node that was killed, until it is back. */
  #down: ClusterNode | undefined;
  readonly #ended = new Set<ClusterNode>();

  constructor(options: SoakOptions) {
    this.#options = options;
  }

  /** Whether all is well. */
  async run(): Promise<boolean> {
    const { seconds, snapshotEvery, stateBytes, rate, write } = this.#options;
    const cluster = await Cluster.create({
      process: { main: BUILT_MAIN },
      size: 3,
      flags: ["--snapshot-entries", String(snapshotEvery)],
    });
    await cluster.leader();
    const services = cluster.nodes.map((node) => new Service(node, this.#ledger, this.#snapshots, stateBytes));
    const travellers = ["one", "two"].map((name, i) => {
      return new Traveller(name, [...cluster.clients.slice(i), ...cluster.clients.slice(0, i)], this.#ledger);
    });
    const load = Load.stream(
      cluster.clients.map(({ address }) => address),
      rate,
    );
    this.#startMs = performance.now();
    const endMs = this.#startMs + seconds * 1_000;
    const poll = setInterval(() => void this.#poll(cluster.nodes), POLL_MS);
    try {
      await Promise.all([this.#sampleUntil(endMs, cluster, load), this.#killUntil(endMs, services)]);
      const result = await load.stop();
      await this.#settle(cluster, services, travellers);
      this.#judgeStates(result, services, travellers);
      for (const node of cluster.nodes) this.#judgeLines(node);
    } finally {
      clearInterval(poll);
      await Promise.all([...services, ...travellers].map((applier) => applier.close()));
      await cluster.close();
    }
    const verdict = verdictOf(this.#samples, this.#ledger.violations);
    const counts = this.#counts(services, travellers);
    for (const line of [...counts, ...verdict.lines]) write(line);
    write(`summary and plot: ${writeReport(this.#options, this.#samples, this.#killsMs, counts, verdict)}`);
    return verdict.isWell;
  }

  async #sampleUntil(endMs: number, cluster: Cluster, load: Load<LoadSample, LoadResult>): Promise<void> {
    let lastMs = this.#startMs;
    for (let number = 1; performance.now() < endMs; number++) {
      await sleep(Math.max(0, this.#startMs + number * SAMPLE_MS - performance.now()));
      const nodes = await Promise.all(cluster.nodes.map(nodeSample));
      const nowMs = performance.now();
      const sample: Sample = {
        seconds: (nowMs - this.#startMs) / 1_000,
        intervalSeconds: (nowMs - lastMs) / 1_000,
        load: await load.sample(),
        nodes,
        snapshots: this.#snapshots.put,
        hasSnapshot: this.#sawSnapshot,
        hasKill: lastMs < this.#shadowMs,
      };
      lastMs = nowMs;
      this.#sawSnapshot = this.#snapshots.isPutting;
      this.#samples.push(sample);
      this.#options.write(lineOf(sample));
    }
  }

  /** Each second time the service beside the node loses its state with it. */
  async #killUntil(endMs: number, services: readonly Service[]): Promise<void> {
    const everyMs = this.#options.killEverySeconds * 1_000;
    for (let number = 1; this.#startMs + number * everyMs + DOWN_MS + KILL_SHADOW_MS <= endMs; number++) {
      await sleep(Math.max(0, this.#startMs + number * everyMs - performance.now()));
      const service = services[Math.floor(Math.random() * services.length)];
      if (service === undefined) return;
      const { node } = service;
      const isLeader = (await node.state())?.isLeader;
      this.#killsMs.push(performance.now() - this.#startMs);
      this.#shadowMs = Number.POSITIVE_INFINITY;
      this.#options.write(
        `kill -9 of ${node.id}${isLeader ? ", which leads" : ""}${number % 2 === 0 ? ", and its service" : ""}`,
      );
      this.#down = node;
      await node.kill();
      if (number % 2 === 0) service.lose();
      await sleep(DOWN_MS);
      await node.start();
      this.#down = undefined;
      this.#shadowMs = performance.now() + KILL_SHADOW_MS;
    }
  }

  async #poll(nodes: readonly ClusterNode[]): Promise<void> {
    if (this.#snapshots.isPutting) this.#sawSnapshot = true;
    const pulls = nodes.flatMap(({ lines }) => lines).filter(({ event }) => event === "took over a snapshot").length;
    if (pulls !== this.#pulls) this.#sawSnapshot = true;
    this.#pulls = pulls;
    for (const node of nodes) {
      this.#mustRun(node);
      const status = await node.client.status(CALL_MS).catch(() => undefined);
      if (status?.snapshotPull !== undefined) this.#sawSnapshot = true;
    }
  }

  /** Nothing but a kill of ours ends a node. */
  #mustRun(node: ClusterNode): void {
    if (node.isRunning || node === this.#down || this.#ended.has(node)) return;
    this.#ended.add(node);
    this.#ledger.violation(node.id, `it has ended: ${node.process.describe()}`);
  }

  #judgeLines({ id, lines }: ClusterNode): void {
    const [error] = lines.filter(({ level }) => level === "error" || level === "fatal");
    if (error !== undefined) this.#ledger.violation(id, `it logged ${JSON.stringify(error)}`);
  }

  /** Waits until everybody has applied everything. */
  async #settle(cluster: Cluster, services: readonly Service[], travellers: readonly Traveller[]): Promise<void> {
    for (const traveller of travellers) traveller.comeHome();
    const commits = await Promise.all(cluster.nodes.map(async (node) => (await node.state())?.commit ?? 0));
    const last = Math.max(...commits);
    for (const { applier } of [...services, ...travellers]) {
      await until(
        () => `${applier.name} reaches ${last}, is at ${applier.state.position}`,
        () => applier.state.position >= last,
        CATCH_UP_MS,
      ).catch((error: Error) => this.#ledger.violation(applier.name, error.message));
    }
  }

  #judgeStates(result: LoadResult, services: readonly Service[], travellers: readonly Traveller[]): void {
    const appliers = [...services, ...travellers].map(({ applier }) => applier);
    const [first] = appliers;
    for (const { name, state } of appliers) {
      if (state.digest !== first?.state.digest) this.#ledger.violation(name, "its digest differs in the end");
      for (const violation of state.violations(result.lastSequences)) this.#ledger.violation(name, violation);
    }
    if (result.open > 0) this.#ledger.violation("the load", `${result.open} commands were never acknowledged`);
    for (const lost of result.lost) this.#ledger.violation("the load", `was refused for good ${lost}`);
  }

  #counts(services: readonly Service[], travellers: readonly Traveller[]): string[] {
    const [first] = services;
    const restored = [...services, ...travellers].flatMap(({ applier }) => {
      return applier.restored.map((what) => `${applier.name} restored the snapshot of ${what}`);
    });
    const { retries = 0, duplicates = 0 } = this.#samples.at(-1)?.load ?? {};
    const reasons = (failed: ReadonlyMap<string, number>): string => {
      const text = [...failed].map(([reason, count]) => `${reason} ${count}`).join(", ");
      return text === "" ? "none" : text;
    };
    return [
      `${first?.applier.state.commands} commands, ${retries} retries, ${duplicates} of them duplicates; ${this.#killsMs.length} kills`,
      `${this.#snapshots.put} snapshots put, failed: ${reasons(this.#snapshots.failed)}; taken over by nodes: ${this.#pulls}`,
      ...restored,
      ...travellers.map(({ applier, visits, acknowledged, failed }) => {
        return `${applier.name}: ${visits} visits, ${acknowledged} acknowledgements, failed: ${reasons(failed)}`;
      }),
      `${this.#ledger.compared} digests compared on the way, and those at the end`,
    ];
  }
}

async function nodeSample(node: ClusterNode): Promise<NodeSample> {
  const state = await node.client.status(CALL_MS).then(
    (status) => status.state,
    () => undefined,
  );
  return {
    resident: node.isRunning ? residentBytes(node.process.pid) : 0,
    disk: diskBytes(node.dataDir),
    first: Number(state?.firstIndex ?? 0),
    last: Number(state?.lastIndex ?? 0),
  };
}
