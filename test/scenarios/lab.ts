import { it } from "vitest";
import { assert } from "../../src/assert.ts";
import type { Failure } from "../../src/failure.ts";
import type { Message } from "../../src/raft/message.ts";
import type { EntryId } from "../../src/raft/types.ts";
import type { Host, Process } from "../simulation/host.ts";
import { HEALTHY_NETWORK } from "../simulation/network.ts";
import { DEFAULT_NODE, World, type WorldOptions } from "../simulation/world.ts";
import { Services } from "./services.ts";

/** The longest one: scenarios count in it. */
export const ELECTION_TIMEOUT_MS = DEFAULT_NODE.electionTimeoutMaxMs;

const ELECTION_BOUND_MS = 5 * ELECTION_TIMEOUT_MS;
const SETTLE_MS = 2 * ELECTION_TIMEOUT_MS;

/** `one` succeeds within it. */
export const AGREEMENT_MS = 10_000;

/** How long a client that knows no leader, or was refused, waits before it tries again. */
const RETRY_MS = 20;

/** How many seeds a short scenario is told with. */
const SEEDS = 20;

/** A command that was handed to a node, and the answer: where it is committed, or why that can't be said. */
export interface Proposal {
  readonly command: string;
  place: EntryId | undefined;
  failure: Failure["reason"] | undefined;
}

interface ScenarioOptions {
  readonly seeds?: number;
  readonly node?: Partial<WorldOptions["node"]>;
}

/** A test that tells `story` on a cluster of `size`, once with each seed from 1 on. */
export function scenario(title: string, size: number, story: (lab: Lab) => void, options: ScenarioOptions = {}): void {
  it(title, () => {
    for (let seed = 1; seed <= (options.seeds ?? SEEDS); seed++) {
      try {
        story(new Lab(size, seed, options.node));
      } catch (error) {
        throw new Error(`with seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
      }
    }
  });
}

/** Different commands. */
export function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix} ${i + 1}`);
}

/** A world for directed tests: nodes that run, a service beside each, and a network with a few switches. */
export class Lab extends World {
  readonly services: Services;
  readonly #away = new Set<Host>();
  #sent: Message[] | undefined;

  constructor(size: number, seed: number, node: Partial<WorldOptions["node"]> = {}) {
    super({ seed, size, node: { ...DEFAULT_NODE, ...node } });
    this.services = new Services(this);
    this.startAll();
  }

  /** Cuts every way between these and all others. */
  disconnect(...hosts: readonly Host[]): void {
    for (const host of hosts) {
      this.#away.add(host);
      for (const other of this.others(host)) {
        if (!this.network.isCut(host, other)) this.network.cut(host, other);
        if (!this.network.isCut(other, host)) this.network.cut(other, host);
      }
    }
  }

  /** Undoes `disconnect`; ways to who is still cut off stay cut. */
  connect(...hosts: readonly Host[]): void {
    for (const host of hosts) {
      this.#away.delete(host);
      this.network.rejoin(host);
    }
    this.disconnect(...this.#away);
  }

  isConnected(host: Host): boolean {
    return !this.#away.has(host);
  }

  reliable(): void {
    Object.assign(this.network.faults, HEALTHY_NETWORK);
  }

  /** Each message takes 0-26 ms and overtakes others; 10 % of requests and 10 % of answers are lost. */
  unreliable(): void {
    Object.assign(this.network.faults, { minDelayMs: 0, maxDelayMs: 26, ordered: false, drop: 0.1 });
  }

  /** Two thirds of the answers take 200-2,200 ms. */
  longReordering(): void {
    Object.assign(this.network.faults, { ordered: false, lateAnswers: 2 / 3 });
  }

  /** Their processes end without a word, until they are started again. */
  crash(...hosts: readonly Host[]): void {
    for (const host of hosts) host.crash(Number.POSITIVE_INFINITY);
  }

  restart(...hosts: readonly Host[]): void {
    this.crash(...hosts);
    for (const host of hosts) host.start();
  }

  settle(): void {
    this.run(SETTLE_MS);
  }

  others(...hosts: readonly Host[]): Host[] {
    return this.hosts.filter((host) => !hosts.includes(host));
  }

  /** Any `count` of the nodes. */
  pick(count: number): Host[] {
    const left = [...this.hosts];
    return Array.from({ length: count }, () => left.splice(this.random.nemesis.below(left.length), 1)).flat();
  }

  /** Of those that are connected and believe to lead, the one with the latest term. */
  get leading(): Host | undefined {
    const leaders = this.processes.filter(({ host, node }) => this.isConnected(host) && node.state().role === "leader");
    return leaders.reduce<Process | undefined>(
      (latest, process) => ((latest?.node.state().term ?? 0) < process.node.state().term ? process : latest),
      undefined,
    )?.host;
  }

  /** Within 5 election timeouts all that are connected follow one of them, in its term. */
  oneLeader(): Host {
    const leader = (): Host | undefined => {
      const { leading } = this;
      const led = leading?.process?.node.state();
      const follows = ({ host, node }: Process): boolean => {
        const { term, leader } = node.state();
        return !this.isConnected(host) || (term === led?.term && leader === leading?.id);
      };
      return this.processes.every(follows) ? leading : undefined;
    };
    this.runUntil(() => leader() !== undefined, ELECTION_BOUND_MS);
    const host = leader();
    assert(host !== undefined, `nobody leads all that are connected: ${this.describe()}`);
    return host;
  }

  /** Nobody leads, not even one that is cut off: who has no quorum steps down (check-quorum). */
  noLeader(): void {
    assert(this.leader === undefined, `${this.leader?.host.id} leads without a quorum`);
  }

  /** Hands `command` to `host`. `refused` is called when it comes to nothing, as far as its caller can tell. */
  propose(host: Host, command: string, refused: () => void = () => {}): Proposal {
    const proposal: Proposal = { command, place: undefined, failure: undefined };
    const { process } = host;
    process?.onEnd(() => {
      if (proposal.place === undefined && proposal.failure === undefined) refused();
    });
    process?.run(() => {
      process.node.propose({
        commands: [Buffer.from(command)],
        deadlineMs: undefined,
        ordered: false,
        done: (result) => {
          if (result.kind === "committed") proposal.place = result.first;
          else if (result.kind === "failed") proposal.failure = result.failure.reason;
          if (result.kind === "failed") refused();
        },
      });
    });
    return proposal;
  }

  /**
   * Proposes `command` to whoever leads, again while that comes to nothing. Within 10 s at least `services` have applied
   * it at one index, which is returned.
   */
  one(command: string, services: number, limitMs = AGREEMENT_MS): number {
    return this.all([command], services, limitMs)[0] ?? 0;
  }

  /** As `one`, with several commands at the same time. */
  all(commands: readonly string[], services: number, limitMs = AGREEMENT_MS): number[] {
    let isOver = false;
    for (const command of commands) this.#insist(command, () => isOver);
    const agreedOn = (command: string): number | undefined => this.services.agreedOn(command, services);
    this.runUntil(() => commands.every((command) => agreedOn(command) !== undefined), limitMs);
    isOver = true;
    return commands.map((command) => {
      const index = agreedOn(command);
      assert(index !== undefined, `no ${services} services agree on ${command.slice(0, 40)}: ${this.describe()}`);
      return index;
    });
  }

  /** What the nodes send each other while `story` is told. */
  during(story: () => void): readonly Message[] {
    const sent: Message[] = [];
    this.#sent = sent;
    story();
    this.#sent = undefined;
    return sent;
  }

  override onSent(process: Process, message: Message): void {
    super.onSent(process, message);
    this.#sent?.push(message);
  }

  /** The nodes, for people. */
  describe(): string {
    const stateOf = (host: Host): string => {
      const state = host.process?.node.state();
      if (state === undefined) return `${host.id} is down`;
      const { role, term, leader, commit, last } = state;
      const away = this.isConnected(host) ? "" : " cut off,";
      return `${host.id}${away} ${role} of ${term}, which ${leader} leads, committed ${commit} of ${last}`;
    };
    return this.hosts.map(stateOf).join("; ");
  }

  #insist(command: string, isOver: () => boolean): void {
    if (isOver()) return;
    const again = (): void => {
      this.scheduler.in(RETRY_MS, () => this.#insist(command, isOver));
    };
    const { leading } = this;
    if (leading === undefined) again();
    else this.propose(leading, command, again);
  }
}
