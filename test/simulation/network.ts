import type { Transport } from "../../src/node/transport.ts";
import type { Message } from "../../src/raft/message.ts";
import type { Host, Process } from "./host.ts";
import { Link } from "./link.ts";
import type { World } from "./world.ts";

/** How the network behaves at the moment. Chances are from 0 to 1. */
export interface NetworkFaults {
  minDelayMs: number;
  maxDelayMs: number;
  /** What one sends another arrives in the order in which it was sent. */
  ordered: boolean;
  drop: number;
  /** On top of `drop`, of answers. */
  dropAnswers: number;
  duplicate: number;
  /** A message that comes when nobody remembers it. */
  veryLate: number;
  /** Answers that take from 200 to 2,200 ms. */
  lateAnswers: number;
  /** What was under way on a stream that broke arrives all the same. */
  leftover: number;
  /** A connection that broke is said to be refused, though it isn't. */
  falseRefusals: number;
}

export const HEALTHY_NETWORK: NetworkFaults = {
  minDelayMs: 0.05,
  maxDelayMs: 0.5,
  ordered: true,
  drop: 0,
  dropAnswers: 0,
  duplicate: 0,
  veryLate: 0,
  lateAnswers: 0,
  leftover: 0,
  falseRefusals: 0,
};

/** The time after which a silent connection is given up. */
const KEEPALIVE_MS = 8_000;
const VERY_LATE_MS = 8_000;

/** What is between the hosts: it delays, loses, repeats and reorders, and can be cut in each direction. */
export class Network {
  readonly faults: NetworkFaults = { ...HEALTHY_NETWORK };
  readonly #world: World;
  /** Directions that are cut: `from.index * 16 + to.index`. */
  readonly #cut = new Set<number>();
  /** By sender and receiver: when the latest message that keeps order arrives. */
  readonly #arrivals = new Map<number, number>();
  /** The same of those that don't, to see which overtakes another. */
  readonly #latest = new Map<number, number>();

  constructor(world: World) {
    this.#world = world;
  }

  /** The transport of a process, over links of its own. */
  connect(process: Process): Transport {
    const { links } = process;
    for (const host of this.#world.hosts) {
      if (host !== process.host) links.set(host.id, new Link(this.#world, process, host));
    }
    for (const link of links.values()) link.start();
    process.onEnd(() => {
      for (const link of links.values()) link.close();
    });
    return {
      send: (message) => {
        process.assertGoesOn();
        if (process.mayAct()) this.#send(process, message, links.get(message.to));
      },
      forward: (to, request, done) => {
        process.assertGoesOn();
        if (!process.mayAct()) return;
        const link = links.get(to);
        if (link === undefined) this.#world.scheduler.in(0, () => process.run(() => done({ kind: "notSent" })));
        else link.forward(request, done);
      },
      fetchSnapshot: (from, last, done) => this.#world.shelf.fetch(process, from, last, done),
    };
  }

  isCut(from: Host, to: Host): boolean {
    return this.#cut.has(way(from, to));
  }

  cut(from: Host, to: Host): void {
    this.#cut.add(way(from, to));
    // A break is noticed when nothing has come for long.
    this.#world.scheduler.in(this.#world.random.network.between(KEEPALIVE_MS / 2, KEEPALIVE_MS), () => {
      if (!this.isCut(from, to)) return;
      from.process?.links.get(to.id)?.break();
      to.process?.links.get(from.id)?.break();
    });
  }

  heal(): void {
    this.#cut.clear();
    this.#resetDeadConnections();
  }

  /** What is cut between this host and others is whole again. */
  rejoin(host: Host): void {
    for (const other of this.#world.hosts) {
      this.#cut.delete(way(host, other));
      this.#cut.delete(way(other, host));
    }
    this.#resetDeadConnections();
  }

  get isWhole(): boolean {
    return this.#cut.size === 0;
  }

  /** When a message that is sent now arrives. */
  arrivalMs(from: Host, to: Host, isAnswer: boolean): number {
    const { faults } = this;
    const { network } = this.#world.random;
    let atMs = this.#world.scheduler.nowMs + network.between(faults.minDelayMs, faults.maxDelayMs);
    if (isAnswer && network.chance(faults.lateAnswers)) {
      this.#world.counters.add("answers late");
      atMs += network.between(200, 2_200);
    }
    if (faults.ordered) return this.inOrder(from, to, atMs);
    const latestMs = this.#latest.get(way(from, to)) ?? 0;
    if (atMs < latestMs) this.#world.counters.add("messages that overtake");
    this.#latest.set(way(from, to), Math.max(atMs, latestMs));
    return atMs;
  }

  inOrder(from: Host, to: Host, atMs: number): number {
    const arrivesMs = Math.max(atMs, this.#arrivals.get(way(from, to)) ?? 0);
    this.#arrivals.set(way(from, to), arrivesMs);
    return arrivesMs;
  }

  /** Lets `deliver` happen when what is sent now arrives: once, never, twice, or much later. */
  carry(from: Host, to: Host, isAnswer: boolean, deliver: () => void): void {
    const { faults } = this;
    const { scheduler, counters } = this.#world;
    const { network } = this.#world.random;
    if (this.isCut(from, to)) {
      return counters.add(this.isCut(to, from) ? "messages into a cut" : "messages into a one-way cut");
    }
    if (network.chance(faults.drop) || (isAnswer && network.chance(faults.dropAnswers))) {
      return counters.add("messages dropped");
    }
    let atMs = this.arrivalMs(from, to, isAnswer);
    if (network.chance(faults.veryLate)) {
      counters.add("messages very late");
      atMs += network.between(100, VERY_LATE_MS);
    }
    scheduler.at(atMs, deliver);
    if (!network.chance(faults.duplicate)) return;
    counters.add("messages duplicated");
    scheduler.at(atMs + network.between(0, network.chance(0.2) ? VERY_LATE_MS : 20), deliver);
  }

  #resetDeadConnections(): void {
    for (const { links } of this.#world.processes) for (const link of links.values()) link.onHealed();
  }

  #send(process: Process, message: Message, link: Link | undefined): void {
    this.#world.onSent(process, message);
    switch (message.kind) {
      case "requestVote":
        return link?.sendVote(message);
      case "appendEntries":
        return link?.sendAppend(message);
      case "requestVoteResponse":
        return this.#world.host(message.to).process?.links.get(process.host.id)?.answerVote(message, process);
      case "appendEntriesResponse":
        return this.#world.host(message.to).process?.links.get(process.host.id)?.answerAppend(message, process);
    }
  }
}

function way(from: Host, to: Host): number {
  return from.index * 16 + to.index;
}
