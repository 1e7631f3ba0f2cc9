import { assert, unreachable } from "../assert.ts";
import type { Failure, Reason } from "../failure.ts";
import type { EntryId } from "../raft/types.ts";
import type { Admission } from "./admission.ts";
import type { ProposalBatch, ProposalResult } from "./api.ts";
import { Budget } from "./budget.ts";
import { leaderTooSlow, noLeader, notAppended, notLeader, outcomeUnknown, termChanged } from "./failures.ts";
import { MAX_FRAME_BYTES, MAX_FRAME_COMMANDS } from "./options.ts";
import { lostResult, partOf } from "./proposal-result.ts";
import type { ForwardOutcome } from "./transport.ts";

export interface ProposalLimits {
  readonly maxProposals: number;
  readonly maxProposalBytes: number;
  /** How long a batch waits for a leader. */
  readonly leaderWaitMs: number;
  /** How long a batch waits for its commit. */
  readonly proposalTimeoutMs: number;
}

/** With these a leader says of a whole request that it appended nothing, and that another one may. */
const NOT_APPENDED_THERE: ReadonlySet<Reason> = new Set(["NOT_LEADER", "TERM_CHANGED", "DRAINING", "DATA_LOSS"]);

/** Batches that travel together: appended in one step, or forwarded in one request. */
export type Group = readonly Pending[];

interface Pending {
  readonly batch: ProposalBatch;
  readonly bytes: number;
  /** When it stops waiting for a leader. */
  readonly leaderUntilMs: number;
  /** When it stops waiting for its turn at the leader. */
  readonly turnUntilMs: number;
  /** Set for one that another node forwarded: only the leader of this term may append it. */
  readonly term: number | undefined;
}

/** Batches whose results hold once `last` is committed. */
interface Appended {
  readonly group: Group;
  readonly results: readonly ProposalResult[];
  readonly last: EntryId;
  readonly untilMs: number;
  /** Its time was up. It stays, and counts against the limits, until it is committed or lost. */
  isAnswered: boolean;
}

/** What stops on an error is refused as a whole; what isn't a command is an entry of another type. */
function travelsAlone(pending: Pending | undefined): boolean {
  return pending?.batch.stopOnError === true || pending?.batch.isSubscription === true;
}

export function batchesOf(group: Group): ProposalBatch[] {
  return group.map(({ batch }) => batch);
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
  #appended: Appended[] = [];
  /** In the order of sending. */
  readonly #forwarded = new Map<Group, { readonly untilMs: number }>();
  #unanswered = 0;
  readonly #budget: Budget;

  constructor(limits: ProposalLimits) {
    this.#limits = limits;
    this.#budget = new Budget(limits.maxProposals, limits.maxProposalBytes);
  }

  /** Proposals without an answer. */
  get unanswered(): number {
    return this.#unanswered;
  }

  /** Whether any waits to be appended or forwarded. */
  get areWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Takes a batch in, or answers it at once when there are too many. */
  add(batch: ProposalBatch, nowMs: number, term?: number): void {
    const bytes = batch.commands.reduce((sum, command) => sum + command.length, 0);
    const refusal = this.#budget.take(batch.commands.length, bytes);
    if (refusal !== undefined) return batch.done({ kind: "failed", failure: refusal });
    this.#unanswered += batch.commands.length;
    const deadlineMs = batch.deadlineMs ?? Number.POSITIVE_INFINITY;
    const leaderUntilMs = Math.min(nowMs + this.#limits.leaderWaitMs, deadlineMs);
    const turnUntilMs = Math.min(nowMs + this.#limits.proposalTimeoutMs, deadlineMs);
    this.#waiting.push({ batch, bytes, leaderUntilMs, turnUntilMs, term });
  }

  /** As many waiting batches as travel together; undefined when none waits. */
  takeGroup(): Group | undefined {
    if (this.#waiting.length === 0) return undefined;
    let taken = 0;
    let commands = 0;
    let bytes = 0;
    for (const pending of this.#waiting) {
      if (taken > 0 && (travelsAlone(pending) || travelsAlone(this.#waiting[0]))) break;
      commands += pending.batch.commands.length;
      bytes += pending.bytes;
      if (taken > 0 && (commands > MAX_FRAME_COMMANDS || bytes > MAX_FRAME_BYTES)) break;
      taken++;
    }
    return this.#waiting.splice(0, taken);
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

  /** This node, leading in `term`, has taken the group in. What rests on nothing uncommitted is answered at once. */
  onAdmitted(group: Group, { results }: Admission, term: number, commitIndex: number, nowMs: number): void {
    const appended: Pending[] = [];
    const due: ProposalResult[] = [];
    let last = 0;
    for (const [i, pending] of group.entries()) {
      const admitted = results[i];
      assert(admitted !== undefined, "every batch is decided about");
      if (admitted.upTo <= commitIndex) {
        this.#release([pending]);
        this.#answer(pending, admitted.result);
      } else {
        appended.push(pending);
        due.push(admitted.result);
        last = Math.max(last, admitted.upTo);
      }
    }
    if (appended.length === 0) return;
    const untilMs = nowMs + this.#limits.proposalTimeoutMs;
    this.#appended.push({ group: appended, results: due, last: { index: last, term }, untilMs, isAnswered: false });
  }

  /** Answers what is committed: the entry at its place is the one that was appended. */
  onCommitted(commitIndex: number, termAt: (index: number) => number | undefined): void {
    const open: Appended[] = [];
    const committed: Appended[] = [];
    // They aren't in the order of their places: a group of retries waits for what was appended before.
    for (const appended of this.#appended) {
      const { index, term } = appended.last;
      (index <= commitIndex && termAt(index) === term ? committed : open).push(appended);
    }
    this.#appended = open;
    for (const { group, results, isAnswered } of committed) {
      this.#release(group);
      for (const [i, pending] of group.entries()) {
        const result = results[i];
        if (!isAnswered && result !== undefined) this.#answer(pending, result);
      }
    }
  }

  /** This node leads no more in `term`: what it appended in it may survive or not. */
  onLeadershipLost(term: number): void {
    const lost = this.#appended.filter(({ last }) => last.term === term);
    this.#appended = this.#appended.filter(({ last }) => last.term !== term);
    this.#lose(lost, outcomeUnknown("leadership was lost after the command was appended"));
  }

  onForwarding(group: Group, nowMs: number): void {
    // Most often the leader's own answer comes first then, and it knows what became of the proposal.
    const { proposalTimeoutMs, leaderWaitMs } = this.#limits;
    this.#forwarded.set(group, { untilMs: nowMs + proposalTimeoutMs + leaderWaitMs });
  }

  onForwardOutcome(group: Group, outcome: ForwardOutcome): void {
    // An answer that comes after the time was up finds its group gone.
    if (!this.#forwarded.delete(group)) return;
    switch (outcome.kind) {
      case "committed":
      case "each":
        return this.#share(group, outcome);
      case "lost":
        return this.#failGroup(group, outcomeUnknown("the connection to the leader broke"));
      case "notSent":
        return this.#waitAgain(group);
      case "failed": {
        if (NOT_APPENDED_THERE.has(outcome.failure.reason)) return this.#waitAgain(group);
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
    const untilMs = (pending: Pending): number => (isLeading ? pending.turnUntilMs : pending.leaderUntilMs);
    const late = this.#waiting.filter((pending) => nowMs >= untilMs(pending));
    if (late.length > 0) {
      this.#waiting = this.#waiting.filter((pending) => nowMs < untilMs(pending));
      for (const pending of late) this.#fail(pending, isLeading ? leaderTooSlow() : noLeader());
    }
    for (const appended of this.#appended) {
      if (nowMs < appended.untilMs) break;
      if (appended.isAnswered) continue;
      appended.isAnswered = true;
      this.#answerLost(appended, outcomeUnknown("the command was not committed in time"));
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
    this.#lose(this.#appended.splice(0), unknown);
    for (const group of this.#forwarded.keys()) this.#failGroup(group, unknown);
    this.#forwarded.clear();
  }

  /**
   * The leader did not append these. They wait for the next one, before what came later. A batch whose caller relies on
   * order doesn't: what it proposed afterwards may have been appended already.
   */
  #waitAgain(group: Group): void {
    const again: Pending[] = [];
    for (const pending of group) {
      if (pending.batch.ordered) this.#fail(pending, notAppended());
      else again.push(pending);
    }
    this.#waiting = [...again, ...this.#waiting];
  }

  /** Gives each batch of the group its part of the leader's answer. */
  #share(group: Group, result: ProposalResult): void {
    const count = group.reduce((sum, pending) => sum + pending.batch.commands.length, 0);
    if (result.kind === "each" && result.outcomes.length !== count) {
      return this.#failGroup(group, outcomeUnknown("the leader's answer is not to what was asked"));
    }
    this.#release(group);
    let from = 0;
    for (const pending of group) {
      const { length } = pending.batch.commands;
      this.#answer(pending, partOf(result, from, length));
      from += length;
    }
  }

  #lose(appended: readonly Appended[], failure: Failure): void {
    for (const each of appended) {
      this.#release(each.group);
      if (!each.isAnswered) this.#answerLost(each, failure);
    }
  }

  #answerLost({ group, results }: Appended, failure: Failure): void {
    for (const [i, pending] of group.entries()) {
      const { [i]: result } = results;
      assert(result !== undefined, "every batch has its result");
      this.#answer(pending, lostResult(result, failure));
    }
  }

  #failGroup(group: Group, failure: Failure): void {
    for (const pending of group) this.#fail(pending, failure);
  }

  #fail(pending: Pending, failure: Failure): void {
    this.#release([pending]);
    this.#answer(pending, { kind: "failed", failure });
  }

  #answer(pending: Pending, result: ProposalResult): void {
    this.#unanswered -= pending.batch.commands.length;
    assert(this.#unanswered >= 0, "a proposal was answered twice");
    pending.batch.done(result);
  }

  #release(group: Group): void {
    for (const { batch, bytes } of group) this.#budget.release(batch.commands.length, bytes);
  }
}
