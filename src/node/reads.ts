import { assert } from "../assert.ts";
import type { Failure } from "../failure.ts";
import type { ReadIndexResult } from "./api.ts";
import { notLeader, overloaded, termChanged, unconfirmed } from "./failures.ts";

/** How many groups of barriers may be on their way: a leader that can't confirm any holds no more than these. */
const MAX_ASKED = 64;

/** Barriers that are asked for together, because they came before the same request to the leader. */
export interface ReadGroup {
  /** Those that still wait. */
  reads: readonly PendingRead[];
}

interface PendingRead {
  readonly untilMs: number;
  /** Set for one that another node forwarded: only the leader of this term may answer it. */
  readonly term: number | undefined;
  readonly done: (result: ReadIndexResult) => void;
}

/**
 * All read barriers of this node that have no answer yet. A barrier changes nothing, so one that failed is asked for
 * again until its time is up.
 */
export class Reads {
  readonly #maxReads: number;
  #waiting: PendingRead[] = [];
  /** In the order of asking. */
  readonly #asked = new Set<ReadGroup>();
  #count = 0;

  constructor(maxReads: number) {
    this.#maxReads = maxReads;
  }

  get count(): number {
    return this.#count;
  }

  add(untilMs: number, done: (result: ReadIndexResult) => void, term?: number): void {
    if (this.#count >= this.#maxReads) {
      return done({ kind: "failed", failure: overloaded("read barriers", this.#maxReads) });
    }
    this.#count++;
    this.#waiting.push({ untilMs, term, done });
  }

  /** Whether any wait, and may be asked for. */
  get canAsk(): boolean {
    return this.#waiting.length > 0 && this.#asked.size < MAX_ASKED;
  }

  /** Everything that waits, to be asked for with one request; undefined when nothing does, or enough is asked for. */
  takeGroup(): ReadGroup | undefined {
    if (!this.canAsk) return undefined;
    const group = { reads: this.#waiting };
    this.#waiting = [];
    this.#asked.add(group);
    return group;
  }

  onConfirmed(group: ReadGroup, index: number, term: number): void {
    if (!this.#asked.delete(group)) return;
    for (const read of group.reads) this.#answer(read, { kind: "readIndex", index, term });
  }

  /** The group got no barrier: its reads wait to be asked for again, before later ones. */
  onUnconfirmed(group: ReadGroup): void {
    if (this.#asked.delete(group)) this.#waiting = [...group.reads, ...this.#waiting];
  }

  /** Whoever was asked leads no more, and may never answer: everything waits to be asked of the next one. */
  askAgain(): void {
    this.#waiting = this.#all();
    this.#asked.clear();
  }

  /** As `Proposals.refuseForwarded`. */
  refuseForwarded(leadingTerm: number | undefined, currentTerm: number): void {
    if (this.#waiting.every((read) => read.term === undefined || read.term === leadingTerm)) return;
    const refused = this.#waiting.filter((read) => read.term !== undefined && read.term !== leadingTerm);
    this.#waiting = this.#waiting.filter((read) => !refused.includes(read));
    for (const read of refused) {
      const isOtherTerm = read.term !== undefined && read.term !== currentTerm;
      this.#fail(read, isOtherTerm ? termChanged(read.term, currentTerm) : notLeader());
    }
  }

  /** Answers what is late. Its group stays asked for: whoever confirms it finds nobody, or those whose time isn't up. */
  expire(nowMs: number): void {
    const isLate = (read: PendingRead): boolean => nowMs >= read.untilMs;
    const late = this.#all().filter(isLate);
    if (late.length === 0) return;
    this.#waiting = this.#waiting.filter((read) => !isLate(read));
    for (const group of this.#asked) group.reads = group.reads.filter((read) => !isLate(read));
    for (const read of late) this.#fail(read, unconfirmed());
  }

  failAll(failure: Failure): void {
    const reads = this.#all();
    this.#asked.clear();
    this.#waiting = [];
    for (const read of reads) this.#fail(read, failure);
  }

  #all(): PendingRead[] {
    return [...[...this.#asked].flatMap((group) => group.reads), ...this.#waiting];
  }

  #fail(read: PendingRead, failure: Failure): void {
    this.#answer(read, { kind: "failed", failure });
  }

  #answer(read: PendingRead, result: ReadIndexResult): void {
    this.#count--;
    assert(this.#count >= 0, "a read barrier was answered twice");
    read.done(result);
  }
}
