import { assert } from "../../src/assert.ts";
import type { Message } from "../../src/raft/message.ts";
import type { Raft, RaftOptions } from "../../src/raft/raft.ts";
import type { ReadOutcome } from "../../src/raft/ready.ts";
import { type NodeId, ZERO_ID } from "../../src/raft/types.ts";
import { LogDisk } from "../simulation/log-disk.ts";
import { framesOf, newCore, propose, termsOf, tick, votersOnly } from "../support/core.ts";

interface Member {
  readonly disk: LogDisk;
  /** Undefined while it is crashed. */
  core: Raft | undefined;
}

/**
 * Several cores, with disks that have everything at once and links that deliver everything at once, in order. A test
 * tells stories with it: it says who campaigns, which messages are lost, and who crashes. Left alone, nobody campaigns.
 */
export class Group {
  /** Which messages are lost. */
  lost: (message: Message) => boolean = () => false;
  /** The answers to reads, in the order in which they came. */
  readonly reads: ReadOutcome[] = [];
  readonly #members = new Map<NodeId, Member>();
  readonly #options: Partial<RaftOptions>;

  /** By its name, the terms of the entries that each starts with. The current term is that of the latest one. */
  constructor(logs: Readonly<Record<NodeId, readonly number[]>>, options: Partial<RaftOptions> = {}) {
    this.#options = {
      configuration: votersOnly(...Object.keys(logs)),
      electionTimeoutMaxTicks: 1_000,
      random: (bound) => bound - 1,
      ...options,
    };
    const currentTerm = Math.max(...Object.values(logs).map((terms) => terms.at(-1) ?? 0));
    for (const [id, terms] of Object.entries(logs)) {
      this.#members.set(id, {
        disk: new LogDisk(ZERO_ID, { currentTerm, votedFor: "" }, framesOf(terms, 1)),
        core: undefined,
      });
      this.restart(id);
    }
  }

  core(id: NodeId): Raft {
    const core = this.#members.get(id)?.core;
    assert(core !== undefined, `${id} runs`);
    return core;
  }

  get cores(): Raft[] {
    return [...this.#members.values()].flatMap(({ core }) => core ?? []);
  }

  get leaders(): NodeId[] {
    return this.cores.filter(({ role }) => role.kind === "leader").map(({ id }) => id);
  }

  /** The terms of everybody's entries, in the order of the names. */
  get logs(): (number | undefined)[][] {
    return this.cores.map(termsOf);
  }

  /** From now on only these hear each other. */
  connect(...ids: NodeId[]): void {
    this.lost = ({ from, to }) => !ids.includes(from) || !ids.includes(to);
  }

  heal(): void {
    this.lost = () => false;
  }

  crash(id: NodeId): void {
    this.#member(id).core = undefined;
  }

  /** Starts a node from its disk; a running one loses what only its memory held. */
  restart(id: NodeId): void {
    const member = this.#member(id);
    member.core = newCore({ ...this.#options, id }, member.disk.recovered());
  }

  /** Lets time pass at the same pace for all. */
  tick(times = 1): void {
    for (let i = 0; i < times; i++) {
      for (const core of this.cores) tick(core);
      this.settle();
    }
  }

  /** The election timer of `id` fires. Everybody else has waited for a leader in vain, but none long enough to campaign. */
  campaign(id: NodeId): void {
    const raft = this.core(id);
    for (const core of this.cores) if (core !== raft) tick(core, core.options.electionTimeoutMinTicks);
    tick(raft, raft.electionAtTicks - raft.nowTicks);
    this.settle();
  }

  /** `campaign`, which is won; at the second attempt where the first one only tells of a later term. */
  elect(id: NodeId): void {
    this.campaign(id);
    if (this.core(id).role.kind !== "leader") this.campaign(id);
    assert(this.core(id).role.kind === "leader", `${id} is elected, and not a ${this.core(id).role.kind}`);
  }

  propose(id: NodeId, count = 1): void {
    propose(this.core(id), count);
    this.settle();
  }

  readIndex(id: NodeId, read: number): void {
    this.core(id).step({ kind: "readIndex", id: read });
    this.settle();
  }

  /** Until nobody has anything to say or to write any more. */
  settle(): void {
    for (let turns = 0; turns < 10_000; turns++) {
      const messages = [...this.#members.values()].flatMap((member) => this.#turn(member));
      for (const message of messages) this.#deliver(message);
      if (messages.length === 0) return;
    }
    assert(false, "the members fall quiet");
  }

  #turn({ disk, core }: Member): Message[] {
    if (core === undefined) return [];
    const messages: Message[] = [];
    for (;;) {
      const ready = core.takeReady();
      messages.push(...ready.messages);
      this.reads.push(...ready.reads);
      for (const fetch of ready.fetches) {
        const frames = disk.read(fetch.first, fetch.last, fetch.maxBytes);
        core.step({ kind: "fetched", fetch, frames: frames ?? [] });
      }
      if (ready.write !== undefined) {
        disk.apply(ready.write);
        core.step({ kind: "persisted", turn: ready.write.turn });
      } else if (ready.fetches.length === 0) return messages;
    }
  }

  #deliver(message: Message): void {
    if (this.lost(message)) return;
    this.#members.get(message.to)?.core?.step({ kind: "message", message });
  }

  #member(id: NodeId): Member {
    const member = this.#members.get(id);
    assert(member !== undefined, `${id} is a member`);
    return member;
  }
}
