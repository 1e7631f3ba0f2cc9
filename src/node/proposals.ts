import { assert, unreachable } from "../assert.ts";
import type { Failure } from "../failure.ts";
import type { EntryId } from "../raft/types.ts";
import type { ProposalBatch } from "./api.ts";
import { diskTooSlow, noLeader, notAppended, notLeader, outcomeUnknown, overloaded, termChanged } from "./failures.ts";
import { MAX_FRAME_BYTES, MAX_FRAME_COMMANDS } from "./options.ts";
import type { ForwardOutcome } from "./transport.ts";

export interface ProposalLimits {
  readonly maxProposals: number;
  readonly maxProposalBytes: number;
  /** How long a batch waits for a leader. */
  readonly leaderWaitMs: number;
  /** How long a batch waits for its commit. */
  readonly proposalTimeoutMs: number;
}

/** Batches that travel together: appended in one step, or forwarded in one request. */
export interface Group {
  readonly batches: readonly Pending[];
  readonly commands: readonly Uint8Array[];
}

interface Pending {
  readonly batch: ProposalBatch;
  readonly bytes: number;
  /** When it stops waiting for a leader. */
  readonly leaderUntilMs: number;
  /** When it stops waiting for the leader's disk. */
  readonly diskUntilMs: number;
  /** Set for one that another node forwarded: only the leader of this term may append it. */
  readonly term: number | undefined;
}

/**
 * All proposals of this node that have no answer yet, bounded in number and bytes. Each is in one of three places:
 * waiting for a leader or for the disk; appended to this node's own log; forwarded to the leader. Every one gets exactly
 * one answer.
 */
export class Proposals {
  readonly #limits: ProposalLimits;
  #waiting: Pending[] = [];
  /** In log order. */
  #appended: { readonly group: Group; readonly first: EntryId; readonly last: number; readonly untilMs: number }[] = [];
  /** In the order of sending. */
  readonly #forwarded = new Map<Group, { readonly untilMs: number }>();
  #count = 0;
  #bytes = 0;

  constructor(limits: ProposalLimits) {
    this.#limits = limits;
  }

  /** Proposals without an answer. */
  get count(): number {
    return this.#count;
  }

  /** Takes a batch in, or answers it at once when there are too many. */
  add(batch: ProposalBatch, nowMs: number, term?: number): void {
    const bytes = batch.commands.reduce((sum, command) => sum + command.length, 0);
    const refusal = this.#refusal(batch.commands.length, bytes);
    if (refusal !== undefined) return batch.done({ kind: "failed", failure: refusal });
    this.#count += batch.commands.length;
    this.#bytes += bytes;
    const deadlineMs = batch.deadlineMs ?? Number.POSITIVE_INFINITY;
    const leaderUntilMs = Math.min(nowMs + this.#limits.leaderWaitMs, deadlineMs);
    const diskUntilMs = Math.min(nowMs + this.#limits.proposalTimeoutMs, deadlineMs);
    this.#waiting.push({ batch, bytes, leaderUntilMs, diskUntilMs, term });
  }

  /** As many waiting batches as travel together; undefined when none waits. */
  takeGroup(): Group | undefined {
    if (this.#waiting.length === 0) return undefined;
    let taken = 0;
    let commands = 0;
    let bytes = 0;
    for (const pending of this.#waiting) {
      commands += pending.batch.commands.length;
      bytes += pending.bytes;
      if (taken > 0 && (commands > MAX_FRAME_COMMANDS || bytes > MAX_FRAME_BYTES)) break;
      taken++;
    }
    const batches = this.#waiting.splice(0, taken);
    return { batches, commands: batches.flatMap((pending) => pending.batch.commands) };
  }

  /** Refuses the waiting batches that others forwarded to this node as the leader of a term in which it is not. */
  refuseForwarded(leadingTerm: number | undefined, currentTerm: number): void {
    if (this.#waiting.every((pending) => pending.term === undefined || pending.term === leadingTerm)) return;
    const refused = this.#waiting.filter((pending) => pending.term !== undefined && pending.term !== leadingTerm);
    this.#waiting = this.#waiting.filter((pending) => !refused.includes(pending));
    for (const pending of refused) {
      const isOtherTerm = pending.term !== undefined && pending.term !== currentTerm;
      this.#fail(pending, isOtherTerm ? termChanged(pending.term, currentTerm) : notLeader());
    }
  }

  onAppended(group: Group, first: EntryId, nowMs: number): void {
    const last = first.index + group.commands.length - 1;
    this.#appended.push({ group, first, last, untilMs: nowMs + this.#limits.proposalTimeoutMs });
  }

  /** Answers what is committed: the entry at its place is the one that was appended. */
  onCommitted(commitIndex: number, termAt: (index: number) => number | undefined): void {
    let done = 0;
    for (const { group, first, last } of this.#appended) {
      if (last > commitIndex || termAt(last) !== first.term) break;
      this.#commit(group, first);
      done++;
    }
    this.#appended.splice(0, done);
  }

  /** This node leads no more in `term`: what it appended in it may survive or not. */
  onLeadershipLost(term: number): void {
    const lost = this.#appended.filter(({ first }) => first.term === term);
    this.#appended = this.#appended.filter(({ first }) => first.term !== term);
    for (const { group } of lost) {
      this.#failGroup(group, outcomeUnknown("leadership was lost after the command was appended"));
    }
  }

  onForwarding(group: Group, nowMs: number): void {
    this.#forwarded.set(group, { untilMs: nowMs + this.#limits.proposalTimeoutMs });
  }

  onForwardOutcome(group: Group, outcome: ForwardOutcome): void {
    // An answer that comes after the time was up finds its group gone.
    if (!this.#forwarded.delete(group)) return;
    switch (outcome.kind) {
      case "committed":
        return this.#commit(group, outcome.first);
      case "lost":
        return this.#failGroup(group, outcomeUnknown("the connection to the leader broke"));
      case "notSent":
        return this.#waitAgain(group);
      case "failed": {
        const { reason } = outcome.failure;
        if (reason === "NOT_LEADER" || reason === "TERM_CHANGED" || reason === "DRAINING")
          return this.#waitAgain(group);
        return this.#failGroup(group, outcome.failure);
      }
      case "readIndex":
        assert(false, "a proposal was answered as a read");
        break;
      default:
        unreachable(outcome);
    }
  }

  /** Answers everything whose time is up. While this node leads, what waits does so for its disk. */
  expire(nowMs: number, isLeading: boolean): void {
    const untilMs = (pending: Pending): number => (isLeading ? pending.diskUntilMs : pending.leaderUntilMs);
    const late = this.#waiting.filter((pending) => nowMs >= untilMs(pending));
    if (late.length > 0) {
      this.#waiting = this.#waiting.filter((pending) => nowMs < untilMs(pending));
      for (const pending of late) this.#fail(pending, isLeading ? diskTooSlow() : noLeader());
    }
    while ((this.#appended[0]?.untilMs ?? Number.POSITIVE_INFINITY) <= nowMs) {
      const overdue = this.#appended.shift();
      if (overdue !== undefined)
        this.#failGroup(overdue.group, outcomeUnknown("the command was not committed in time"));
    }
    for (const [group, { untilMs }] of this.#forwarded) {
      if (nowMs < untilMs) break;
      this.#forwarded.delete(group);
      this.#failGroup(group, outcomeUnknown("the leader did not answer in time"));
    }
  }

  /** Answers what was never appended; the rest goes on until it is committed or its time is up. */
  failWaiting(failure: Failure): void {
    for (const pending of this.#waiting.splice(0)) this.#fail(pending, failure);
  }

  /** The node ends: everything gets its answer now. */
  failAll(waiting: Failure): void {
    this.failWaiting(waiting);
    const unknown = outcomeUnknown("this node ended before the command was committed");
    for (const { group } of this.#appended.splice(0)) this.#failGroup(group, unknown);
    for (const group of this.#forwarded.keys()) this.#failGroup(group, unknown);
    this.#forwarded.clear();
  }

  /**
   * The leader did not append these. They wait for the next one, before what came later. A batch whose caller relies on
   * order doesn't: what it proposed afterwards may have been appended already.
   */
  #waitAgain(group: Group): void {
    const again: Pending[] = [];
    for (const pending of group.batches) {
      if (pending.batch.ordered) this.#fail(pending, notAppended());
      else again.push(pending);
    }
    this.#waiting.unshift(...again);
  }

  #refusal(commands: number, bytes: number): Failure | undefined {
    const { maxProposals, maxProposalBytes } = this.#limits;
    if (this.#count + commands > maxProposals) return overloaded("proposals", maxProposals);
    if (this.#bytes + bytes > maxProposalBytes) return overloaded("bytes of proposals", maxProposalBytes);
    return undefined;
  }

  #commit(group: Group, first: EntryId): void {
    let { index } = first;
    for (const pending of group.batches) {
      this.#release(pending);
      pending.batch.done({ kind: "committed", first: { index, term: first.term } });
      index += pending.batch.commands.length;
    }
  }

  #failGroup(group: Group, failure: Failure): void {
    for (const pending of group.batches) this.#fail(pending, failure);
  }

  #fail(pending: Pending, failure: Failure): void {
    this.#release(pending);
    pending.batch.done({ kind: "failed", failure });
  }

  #release(pending: Pending): void {
    this.#count -= pending.batch.commands.length;
    this.#bytes -= pending.bytes;
    assert(this.#count >= 0 && this.#bytes >= 0, "a proposal was answered twice");
  }
}
