import { assert, unreachable } from "../../../src/assert.ts";
import { encodeFrame } from "../../../src/frame/codec.ts";
import { faultOf } from "../../../src/raft/fault.ts";
import type { Fetch, Input } from "../../../src/raft/input.ts";
import type { Message } from "../../../src/raft/message.ts";
import { Raft, type RaftOptions } from "../../../src/raft/raft.ts";
import type { ReadOutcome, Ready, TurnWrite } from "../../../src/raft/ready.ts";
import {
  type Configuration,
  type EntryId,
  EntryType,
  type Frame,
  type NodeId,
  ZERO_ID,
} from "../../../src/raft/types.ts";
import { LogDisk } from "../../simulation/log-disk.ts";
import { observeCore } from "../../simulation/observe-core.ts";
import { type Observed, Properties } from "../../simulation/properties.ts";

/** Chances are of 1,000. Steps are the unit of time; a node's clock ticks about every third step. */
export interface Faults {
  drop: number;
  duplicate: number;
  /** A message that comes when nobody remembers it. */
  veryLate: number;
  maxDelaySteps: number;
  ordered: boolean;
  maxDiskSteps: number;
  diskHangs: number;
  crash: number;
  partition: number;
  unreachable: number;
  /** Hints, true and false, that a member's process died, and as many withdrawn. */
  refused: number;
}

const CALM: Faults = {
  drop: 0,
  duplicate: 0,
  veryLate: 0,
  maxDelaySteps: 2,
  ordered: true,
  maxDiskSteps: 2,
  diskHangs: 0,
  crash: 0,
  partition: 0,
  unreachable: 0,
  refused: 0,
};

interface Running {
  readonly raft: Raft;
  readonly seen: Observed;
}

interface Node {
  readonly id: NodeId;
  readonly disk: LogDisk;
  running: Running | undefined;
  restartAt: number;
  readonly writes: { readonly write: TurnWrite; readonly doneAt: number }[];
  readonly fetches: { readonly fetch: Fetch; readonly doneAt: number }[];
  /** Reads that wait for their answer, with the highest commit index of the time when they were asked. */
  readonly reads: Map<number, number>;
  proposals: number;
  tickChance: number;
  /** Inputs came since the last Ready. */
  dirty: boolean;
}

export interface ClusterOptions {
  readonly configuration: Configuration;
  readonly core: Omit<RaftOptions, "id" | "configuration" | "random" | "encodeFrame" | "newLogId">;
  /** Of 1,000 steps and nodes. */
  readonly proposeChance: number;
  readonly readChance: number;
  /** Nodes that start behind a snapshot; the others hold the same entries. */
  readonly history: { readonly terms: readonly number[]; readonly behindSnapshot: readonly NodeId[] };
}

/** Cores over a network and disks that do what they like, under the eyes of `Properties`. Equal seeds, equal runs. */
export class Cluster {
  readonly properties: Properties;
  readonly nodes = new Map<NodeId, Node>();
  faults: Faults = CALM;
  /** AppendEntries and answers that left, for the counts of an idle cluster. */
  sent = 0;
  /** Of the leader's clock. */
  ticks = 0;
  /** A digest of all that happened. */
  trace = 0;
  readonly #options: ClusterOptions;
  readonly #random: (bound: number) => number;
  #step = 0;
  #network: { readonly message: Message; readonly at: number }[] = [];
  /** Directed pairs that are cut, "from>to". */
  readonly #cut = new Set<string>();
  readonly #lastDelivery = new Map<string, number>();
  #nextId = 1;
  #clients = true;

  constructor(options: ClusterOptions, random: (bound: number) => number) {
    this.#options = options;
    this.#random = random;
    const { voters, outgoing, learners } = options.configuration;
    for (const id of new Set([...voters, ...outgoing, ...learners])) {
      this.nodes.set(id, {
        id,
        disk: this.#initialDisk(id),
        running: undefined,
        restartAt: 0,
        writes: [],
        fetches: [],
        reads: new Map(),
        proposals: 0,
        tickChance: 250 + random(170),
        dirty: false,
      });
    }
    this.properties = new Properties(
      options.configuration,
      new Map([...this.nodes].map(([id, node]) => [id, node.disk])),
    );
  }

  get leader(): Node | undefined {
    const leaders = [...this.nodes.values()].filter((node) => node.running?.raft.role.kind === "leader");
    return leaders.sort((a, b) => (b.running?.raft.currentTerm ?? 0) - (a.running?.raft.currentTerm ?? 0))[0];
  }

  get onTheWay(): number {
    return this.#network.length;
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) this.step();
  }

  step(): void {
    this.#step++;
    this.#disturb();
    for (const node of this.nodes.values()) {
      if (node.running === undefined) {
        if (this.#step >= node.restartAt) this.#start(node);
        continue;
      }
      this.#disk(node);
      if (this.#chance(node.tickChance)) this.#tick(node);
      if (!this.#clients) continue;
      if (this.#chance(this.#options.proposeChance)) this.#propose(node);
      if (this.#chance(this.#options.readChance)) this.#read(node);
    }
    this.#deliver();
    for (const node of this.nodes.values()) {
      if (node.dirty && node.running !== undefined && !this.#chance(200)) this.#turn(node, node.running);
    }
    if (this.#step % 16 === 0) this.properties.logMatching(this.#running());
  }

  proposeToLeader(): void {
    if (this.leader !== undefined) this.#propose(this.leader);
  }

  stopClients(): void {
    this.#clients = false;
  }

  #tick(node: Node): void {
    if (node.running?.raft.role.kind === "leader") this.ticks++;
    this.#input(node, { kind: "tick" });
  }

  #propose(node: Node): void {
    const commands = Array.from({ length: 1 + this.#random(3) }, () => Buffer.from(`${node.id}${this.#nextId++}`));
    node.proposals++;
    this.#input(node, { kind: "propose", commands });
  }

  /** All is whole again: nodes run, links are up, disks answer, clocks agree. */
  heal(): void {
    this.faults = CALM;
    this.#cut.clear();
    for (const node of this.nodes.values()) {
      node.restartAt = 0;
      node.tickChance = 330;
      for (const [i, { write }] of node.writes.entries()) node.writes[i] = { write, doneAt: this.#step + 1 };
    }
  }

  #crash(node: Node): void {
    // The disk may have finished more than it had time to say.
    for (const { write } of node.writes.splice(0, this.#random(node.writes.length + 1))) node.disk.apply(write);
    node.writes.length = 0;
    node.fetches.length = 0;
    node.reads.clear();
    node.proposals = 0;
    node.dirty = false;
    node.running = undefined;
    node.restartAt = this.#step + 1 + this.#random(120);
    this.#note("crash", node.id);
  }

  #start(node: Node): void {
    const options: RaftOptions = {
      ...this.#options.core,
      id: node.id,
      configuration: this.#options.configuration,
      random: this.#random,
      encodeFrame,
      newLogId: Buffer.from(`log of ${node.id}`),
    };
    const raft = new Raft(options, node.disk.recovered());
    node.running = { raft, seen: observeCore(raft, node.disk) };
    this.#note("start", node.id);
  }

  #turn(node: Node, running: Running): void {
    node.dirty = false;
    const ready = running.raft.takeReady();
    this.properties.afterTurn(running.seen);
    assertDurable(running.raft, node.disk);
    this.#note(
      node.id,
      running.raft.role.kind,
      running.raft.currentTerm,
      running.raft.commitIndex,
      ready.messages.length,
    );
    if (ready.write !== undefined) {
      const delay = this.#chance(this.faults.diskHangs) ? 200 : this.#random(this.faults.maxDiskSteps + 1);
      node.writes.push({ write: ready.write, doneAt: this.#step + delay });
    }
    for (const message of ready.messages) {
      this.properties.onSent(running.seen, message);
      this.#send(message);
    }
    for (const fetch of ready.fetches) node.fetches.push({ fetch, doneAt: this.#step + this.#random(5) });
    this.#answers(node, ready);
  }

  #answers(node: Node, ready: Ready): void {
    assert(ready.proposals.length === node.proposals, `${node.id}: every proposal is answered once, in its turn`);
    node.proposals = 0;
    for (const read of ready.reads) this.#onRead(node, read);
  }

  #onRead(node: Node, read: ReadOutcome): void {
    const least = node.reads.get(read.id);
    assert(least !== undefined, `${node.id}: read ${read.id} is answered twice`);
    node.reads.delete(read.id);
    if (read.kind === "notLeader") return;
    assert(read.index >= least, `${node.id}: a read at ${read.index}, after ${least} was committed`);
  }

  #read(node: Node): void {
    const id = this.#nextId++;
    node.reads.set(id, this.properties.commitIndex);
    this.#input(node, { kind: "readIndex", id });
  }

  #disk(node: Node): void {
    for (let next = node.writes[0]; next !== undefined && next.doneAt <= this.#step; next = node.writes[0]) {
      node.writes.shift();
      node.disk.apply(next.write);
      this.#input(node, { kind: "persisted", turn: next.write.turn });
    }
    const done = node.fetches.filter((fetching) => fetching.doneAt <= this.#step);
    for (const { fetch } of done) {
      node.fetches.splice(
        node.fetches.findIndex((fetching) => fetching.fetch === fetch),
        1,
      );
      const frames = node.disk.read(fetch.first, fetch.last, fetch.maxBytes);
      const isStill = node.running?.raft.currentTerm === fetch.term && node.running.raft.role.kind === "leader";
      assert(frames !== undefined || !isStill, `${node.id}: a fetch of ${fetch.first}-${fetch.last} finds nothing`);
      this.#input(node, { kind: "fetched", fetch, frames: frames ?? [] });
    }
  }

  #send(message: Message): void {
    assert(faultOf(message) === undefined, `${message.from} sends a message with a fault: ${faultOf(message)}`);
    if (message.kind === "appendEntries" || message.kind === "appendEntriesResponse") this.sent++;
    const { drop, duplicate, veryLate, maxDelaySteps, ordered } = this.faults;
    if (this.#chance(drop)) return;
    const link = `${message.from}>${message.to}`;
    let at = this.#step + 1 + this.#random(maxDelaySteps);
    if (ordered) at = Math.max(at, this.#lastDelivery.get(link) ?? 0);
    this.#lastDelivery.set(link, at);
    if (this.#chance(veryLate)) at += 100 + this.#random(900);
    this.#network.push({ message: onWire(message), at });
    if (this.#chance(duplicate)) this.#network.push({ message: onWire(message), at: at + this.#random(50) });
  }

  #deliver(): void {
    const due = this.#network.filter(({ at }) => at <= this.#step);
    if (due.length === 0) return;
    this.#network = this.#network.filter(({ at }) => at > this.#step);
    for (const { message } of due) {
      const to = this.nodes.get(message.to);
      if (to?.running === undefined || this.#cut.has(`${message.from}>${message.to}`)) continue;
      this.#note(message.kind, message.from, message.to, message.term);
      this.#input(to, { kind: "message", message });
    }
  }

  #disturb(): void {
    const nodes = [...this.nodes.values()];
    const some = nodes[this.#random(nodes.length)];
    const other = nodes[this.#random(nodes.length)];
    assert(some !== undefined && other !== undefined, "there are nodes");
    if (some.running !== undefined && this.#chance(this.faults.crash)) this.#crash(some);
    if (this.#chance(this.faults.unreachable)) this.#input(some, { kind: "unreachable", member: other.id });
    if (this.#chance(this.faults.refused)) this.#input(some, { kind: "refused", member: other.id });
    if (this.#chance(this.faults.refused)) this.#input(some, { kind: "reachable", member: other.id });
    if (!this.#chance(this.faults.partition)) return;
    const pairs = nodes.flatMap((a) => nodes.filter((b) => b !== a).map((b) => `${a.id}>${b.id}`));
    const kind = this.#random(5);
    if (kind === 0) this.#cut.clear();
    else if (kind === 1) for (const pair of pairs) if (pair.startsWith(some.id)) this.#cut.add(pair);
    if (kind === 2) for (const pair of pairs) if (pair.includes(some.id)) this.#cut.add(pair);
    if (kind === 3) this.#cut.add(`${some.id}>${other.id}`).add(`${other.id}>${some.id}`);
    if (kind === 4) for (const pair of pairs) if (this.#chance(300)) this.#cut.add(pair);
  }

  #input(node: Node, input: Input): void {
    if (node.running === undefined) return;
    node.running.raft.step(input);
    node.dirty = true;
  }

  #running(): Observed[] {
    return [...this.nodes.values()].flatMap((node) => node.running?.seen ?? []);
  }

  #initialDisk(id: NodeId): LogDisk {
    const { terms, behindSnapshot } = this.#options.history;
    const frames: Frame[] = terms.map((term, i) =>
      encodeFrame({ index: i + 1, term }, EntryType.command, [Buffer.from(`old ${i}`)]),
    );
    const last: EntryId = { index: terms.length, term: terms.at(-1) ?? 0 };
    const hardState = { currentTerm: last.term, votedFor: "" };
    return behindSnapshot.includes(id) ? new LogDisk(last, hardState, []) : new LogDisk(ZERO_ID, hardState, frames);
  }

  #chance(ofThousand: number): boolean {
    return ofThousand > 0 && this.#random(1000) < ofThousand;
  }

  #note(...facts: readonly (string | number)[]): void {
    for (const char of `${this.#step} ${facts.join(" ")};`) {
      this.trace = Math.imul(this.trace ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
    }
  }
}

/** What the core takes for durable is on the disk, entry by entry; of what was applied that was seen before. */
function assertDurable({ id, durability, log, lastApplied }: Raft, disk: LogDisk): void {
  assert(durability.index <= disk.lastIndex, `${id}: durable ${durability.index}, on disk ${disk.lastIndex}`);
  for (let index = durability.index; index > Math.max(lastApplied, log.base.index); index--) {
    assert(log.termAt(index) === disk.termAt(index), `${id}: entry ${index} is durable in another term`);
  }
}

/** The wire has no place for an absent conflict hint. */
function onWire(message: Message): Message {
  switch (message.kind) {
    case "appendEntriesResponse":
      return { ...message, conflict: message.success ? undefined : (message.conflict ?? ZERO_ID) };
    case "requestVote":
    case "requestVoteResponse":
    case "appendEntries":
      return message;
    default:
      return unreachable(message);
  }
}
