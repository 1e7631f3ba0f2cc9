import { assert } from "../../src/assert.ts";
import { type NodeOptions, PIPELINE } from "../../src/node/options.ts";
import type { Message } from "../../src/raft/message.ts";
import type { NodeId } from "../../src/raft/types.ts";
import { SNAPSHOT_OPTIONS } from "../support/snapshot-options.ts";
import { Counters } from "./counters.ts";
import { Host, type Process } from "./host.ts";
import { Network } from "./network.ts";
import { Properties } from "./properties.ts";
import { Random } from "./random.ts";
import { Scheduler } from "./scheduler.ts";
import { SessionModel } from "./session-model.ts";
import { Shelf } from "./shelf.ts";
import { EVENTS, Trace } from "./trace.ts";

export interface WorldOptions {
  readonly seed: number;
  /** 1 to 7. */
  readonly size: number;
  readonly node: Omit<NodeOptions, "id" | "clusterId" | "initialMembers" | "clientAddress" | "peerAddress">;
  /** Gets a line for each thing that happens. */
  readonly transcript?: (line: string) => void;
}

/** As a node is configured when nothing is said, but for a coarser tick, which is cheaper to simulate. */
export const DEFAULT_NODE: WorldOptions["node"] = {
  tickMs: 20,
  electionTimeoutMinMs: 400,
  electionTimeoutMaxMs: 800,
  heartbeatMs: 100,
  proposalTimeoutMs: 5_000,
  maxProposals: 16_384,
  maxProposalBytes: 64 * 1024 * 1024,
  maxReads: 16_384,
  cacheBytes: 32 * 1024 * 1024,
  ...PIPELINE,
  ...SNAPSHOT_OPTIONS,
};

const LOG_MATCHING_INTERVAL_MS = 1_000;

/**
 * Machines, the network between them and the time that they live in, all of it decided by one seed. What runs on the
 * machines is the real node: its core, turn loop, proposals, members and apply hub.
 */
export class World {
  readonly options: WorldOptions;
  readonly scheduler = new Scheduler();
  readonly trace: Trace;
  readonly counters = new Counters();
  readonly random: Record<"hosts" | "disk" | "network" | "nodes" | "clients" | "nemesis", Random>;
  readonly ids: readonly NodeId[];
  readonly network: Network;
  readonly hosts: readonly Host[];
  readonly properties: Properties;
  readonly sessions: SessionModel;
  readonly shelf = new Shelf(this);
  readonly #startListeners: ((process: Process) => void)[] = [];
  readonly #electionListeners: ((process: Process) => void)[] = [];
  #violation: unknown;

  constructor(options: WorldOptions) {
    const { seed, size } = options;
    this.options = options;
    this.trace = new Trace(options.transcript);
    const stream = (name: string): Random => Random.of(seed, name);
    this.random = {
      hosts: stream("hosts"),
      disk: stream("disk"),
      network: stream("network"),
      nodes: stream("nodes"),
      clients: stream("clients"),
      nemesis: stream("nemesis"),
    };
    this.ids = Array.from({ length: size }, (_, i) => `n${i + 1}`);
    this.network = new Network(this);
    this.hosts = this.ids.map((id, index) => new Host(this, id, index));
    this.properties = new Properties(
      { voters: this.ids, outgoing: [], learners: [] },
      new Map(this.hosts.map((host) => [host.id, host.directory.log])),
    );
    this.sessions = new SessionModel(options.node.sessionLimits, (index) => this.properties.entryAt(index));
    this.#matchLogsRegularly();
  }

  get nowMs(): number {
    return this.scheduler.nowMs;
  }

  /** The processes that run, in the order of their hosts. */
  get processes(): Process[] {
    return this.hosts.flatMap((host) => host.process ?? []);
  }

  /** Of those that believe to lead, the one with the latest term. */
  get leader(): Process | undefined {
    let latest: Process | undefined;
    for (const process of this.processes) {
      const { role, term } = process.node.state();
      if (role === "leader" && term > (latest?.node.state().term ?? 0)) latest = process;
    }
    return latest;
  }

  host(id: NodeId): Host {
    const host = this.hosts[this.ids.indexOf(id)];
    assert(host !== undefined, `${id} is a host`);
    return host;
  }

  startAll(): void {
    for (const host of this.hosts) host.start();
  }

  /** Lets time pass. Throws the first violation that is seen. */
  run(forMs: number): void {
    this.runUntil(() => false, forMs);
  }

  /** Lets time pass until `condition` holds, looked at after every event. False when it did not in `limitMs`. */
  runUntil(condition: () => boolean, limitMs: number): boolean {
    const untilMs = this.nowMs + limitMs;
    while (!condition()) {
      if (!this.scheduler.next(untilMs)) return condition();
      if (this.#violation !== undefined) throw this.#violation;
    }
    return true;
  }

  /** Calls `listener` whenever a process has started. */
  onStart(listener: (process: Process) => void): void {
    this.#startListeners.push(listener);
  }

  onStarted(process: Process): void {
    for (const listener of this.#startListeners) listener(process);
  }

  /** Calls `listener` whenever an election was won, at the end of the turn in which the winner takes office. */
  onElection(listener: (process: Process) => void): void {
    this.#electionListeners.push(listener);
  }

  /** Runs a check inside the node's code, which may catch what it throws: the world hears of it first. */
  guard<T>(check: () => T): T {
    try {
      return check();
    } catch (error) {
      this.onViolation(error);
      throw error;
    }
  }

  /** Something broke a promise. What is seen first counts. */
  onViolation(error: unknown): void {
    this.#violation ??= error;
  }

  afterTurn(process: Process): void {
    this.trace.note(EVENTS.turn, process.host.index, this.nowMs);
    this.counters.add("turns");
    const { elections } = this.properties;
    this.properties.afterTurn(process.seen);
    if (this.properties.elections === elections) return;
    for (const listener of this.#electionListeners) listener(process);
  }

  onSent(process: Process, message: Message): void {
    const isRequest = message.kind === "requestVote" || message.kind === "appendEntries";
    this.counters.add(isRequest ? "requests sent" : "answers sent");
    this.trace.note(EVENTS.sent, process.host.index * 16 + this.ids.indexOf(message.to), message.term);
    this.trace.say(this.nowMs, () => `${describe(message)} leaves`);
    this.guard(() => this.properties.onSent(process.seen, message));
  }

  /** A message arrives at a process, or where none runs. */
  deliver(process: Process | undefined, message: Message): void {
    process?.run(() => {
      this.trace.note(EVENTS.arrived, process.host.index, this.nowMs);
      this.trace.say(this.nowMs, () => `${describe(message)} arrives`);
      const fault = process.node.onMessage(message);
      assert(fault === undefined, `${message.from} sends a message with a fault: ${fault}`);
    });
  }

  /** Notes something that happens to a host, and counts it. */
  tell(what: string, host: Host, line: () => string): void {
    this.counters.add(what);
    this.trace.note(EVENTS.told, host.index, this.nowMs);
    this.trace.say(this.nowMs, line);
  }

  #matchLogsRegularly(): void {
    this.scheduler.in(LOG_MATCHING_INTERVAL_MS, () => {
      this.properties.logMatching(this.processes.map((process) => process.seen));
      this.#matchLogsRegularly();
    });
  }
}

function describe(message: Message): string {
  const { kind, from, to, term } = message;
  const start = `${from} -> ${to} term ${term}: ${kind}`;
  switch (message.kind) {
    case "requestVote":
      return `${start}${message.preVote ? " (pre)" : ""} last ${message.lastLog.index}/${message.lastLog.term}`;
    case "requestVoteResponse":
      return `${start}${message.preVote ? " (pre)" : ""} ${message.granted ? "granted" : "refused"}`;
    case "appendEntries": {
      const last = message.frames.at(-1)?.last ?? message.prev.index;
      const range = last === message.prev.index ? "heartbeat" : `${message.prev.index + 1}-${last}`;
      const { prev, leaderCommit, sequence } = message;
      return `${start} #${sequence} ${range} after ${prev.index}/${prev.term} commit ${leaderCommit}`;
    }
    case "appendEntriesResponse":
      return `${start} #${message.sequence} ${message.success ? `match ${message.match}` : "rejected"}`;
  }
}
