import { assert, unreachable } from "../assert.ts";
import type { Failure } from "../failure.ts";
import type { Raft } from "../raft/raft.ts";
import type { ReadOutcome, Ready } from "../raft/ready.ts";
import { EntryType, type NodeId } from "../raft/types.ts";
import { admit } from "./admission.ts";
import type { ProposalBatch, ReadIndexResult } from "./api.ts";
import type { DiskGuard } from "./disk-guard.ts";
import { draining, notLeader } from "./failures.ts";
import { toForward } from "./forwarding.ts";
import { MAX_DISK_TURNS, MAX_FRAMES_PER_TURN, type NodeOptions } from "./options.ts";
import { batchesOf, Proposals } from "./proposals.ts";
import { type ReadGroup, Reads } from "./reads.ts";
import type { Sessions } from "./sessions.ts";
import type { ForwardOutcome, ForwardRequest, Transport } from "./transport.ts";

/**
 * Brings this node's proposals and read barriers to the leader: to its own core when it leads, else over one hop to the
 * node that does.
 */
export class Requests {
  readonly #raft: Raft;
  readonly #options: NodeOptions;
  readonly #proposals: Proposals;
  readonly #reads: Reads;
  readonly #sessions: Sessions;
  readonly #diskGuard: Pick<DiskGuard, "refusal">;
  readonly #wake: (delayMs: number) => void;
  /** Where what was proposed to the core since the last Ready begins. */
  #stepped: number[] = [];
  readonly #asked = new Map<number, ReadGroup>();
  #nextReadId = 1;
  /** Who leads, in which term, as far as barriers were asked for. */
  #readsOf: { readonly leader: NodeId; readonly term: number } = { leader: "", term: 0 };
  /** The term in which this node led after the last turn. */
  #ledTerm: number | undefined;

  /** `wake` is called when something waits that no input of the core will take along: a turn is due in so long. */
  constructor(
    raft: Raft,
    sessions: Sessions,
    diskGuard: Pick<DiskGuard, "refusal">,
    options: NodeOptions,
    wake: (delayMs: number) => void,
  ) {
    this.#wake = wake;
    this.#raft = raft;
    this.#sessions = sessions;
    this.#diskGuard = diskGuard;
    this.#options = options;
    this.#proposals = new Proposals({
      maxProposals: options.maxProposals,
      maxProposalBytes: options.maxProposalBytes,
      leaderWaitMs: options.electionTimeoutMaxMs,
      proposalTimeoutMs: options.proposalTimeoutMs,
    });
    this.#reads = new Reads(options.maxReads);
  }

  get proposalsInFlight(): number {
    return this.#proposals.unanswered;
  }

  get isIdle(): boolean {
    return this.#proposals.unanswered === 0 && this.#reads.count === 0;
  }

  propose(batch: ProposalBatch, nowMs: number): void {
    this.#proposals.add(batch, nowMs);
  }

  readIndex(deadlineMs: number | undefined, nowMs: number, done: (result: ReadIndexResult) => void): void {
    this.#reads.add(Math.min(nowMs + this.#options.proposalTimeoutMs, deadlineMs ?? Number.POSITIVE_INFINITY), done);
  }

  /** Another node asks this one as the leader. It is never forwarded further. */
  onForward(request: ForwardRequest, nowMs: number, done: (outcome: ForwardOutcome) => void): void {
    if (this.#raft.role.kind !== "leader") return done({ kind: "failed", failure: notLeader() });
    if (request.kind === "readIndex") {
      return this.#reads.add(nowMs + this.#options.proposalTimeoutMs, done, request.term);
    }
    const { kind: _, term, ...proposals } = request;
    this.#proposals.add({ ...proposals, deadlineMs: undefined, ordered: true, done }, nowMs, term);
  }

  /** Hands on what waits, before the turn's Ready is taken. `diskTurns` are under way. */
  step(diskTurns: number, transport: Transport, nowMs: number): void {
    const { role, currentTerm, leader } = this.#raft;
    const leadingTerm = role.kind === "leader" ? currentTerm : undefined;
    this.#followLeader(leader, currentTerm);
    this.#proposals.refuseForwarded(leadingTerm, currentTerm);
    this.#reads.refuseForwarded(leadingTerm, currentTerm);
    if (leadingTerm !== undefined) {
      if (this.#mayPropose(diskTurns)) this.#proposeHere(nowMs);
      this.#askHere();
    } else if (leader !== "") {
      this.#forwardProposals(transport, leader, nowMs);
      this.#forwardReads(transport, leader);
    }
  }

  /** Whether proposals or barriers wait that the next turn of a leader would take. */
  canGoOn(diskTurns: number): boolean {
    return (this.#proposals.areWaiting && this.#mayPropose(diskTurns)) || this.#canAsk();
  }

  #canAsk(): boolean {
    return this.#reads.canAsk && this.#raft.role.kind === "leader";
  }

  onReady(ready: Ready): void {
    assert(ready.proposals.length === this.#stepped.length, "every proposal to the core has one outcome");
    for (const [i, first] of this.#stepped.splice(0).entries()) {
      const outcome = ready.proposals[i];
      assert(outcome?.kind === "appended", "a leader appends what it is proposed");
      assert(outcome.first.index === first, `what was to be at ${first} is at ${outcome.first.index}`);
    }
    for (const read of ready.reads) this.#onReadOutcome(read);
    assert(this.#raft.role.kind === "leader" || this.#asked.size === 0, "who does not lead has no barrier to confirm");
    // Commits first: they hold whatever became of the leadership in the same turn.
    this.#proposals.onCommitted(this.#raft.commitIndex, (index) => this.#raft.log.termAt(index));
    const leadingTerm = this.#raft.role.kind === "leader" ? this.#raft.currentTerm : undefined;
    if (this.#ledTerm !== undefined && this.#ledTerm !== leadingTerm) {
      this.#proposals.onLeadershipLost(this.#ledTerm);
      this.#sessions.onLeadershipLost();
    }
    this.#ledTerm = leadingTerm;
    this.#sessions.follow();
  }

  /** Answers everything whose time is up. */
  expire(nowMs: number): void {
    this.#proposals.expire(nowMs, this.#raft.role.kind === "leader");
    this.#reads.expire(nowMs);
  }

  /** Answers what was not appended yet. */
  drain(): void {
    this.#proposals.failWaiting(draining());
    this.#reads.failAll(draining());
  }

  /** The node ends: everything gets its answer, with `failure` what was not appended. */
  failAll(failure: Failure): void {
    this.#proposals.failAll(failure);
    this.#reads.failAll(failure);
  }

  /**
   * Until the no-op commits, nothing is sure to: the command that waits is absent for certain, and the entries that nobody
   * has committed stay as few as one leader may append. Until the sessions are known, a retry can't be told from a new
   * proposal.
   */
  #mayPropose(diskTurns: number): boolean {
    return this.#sessions.areKnown && diskTurns < MAX_DISK_TURNS;
  }

  /** A leader that hangs answers nothing: what it was asked for is not waited for once there is another. */
  #followLeader(leader: NodeId, term: number): void {
    if (leader === "" || (leader === this.#readsOf.leader && term === this.#readsOf.term)) return;
    this.#readsOf = { leader, term };
    this.#reads.askAgain();
  }

  #proposeHere(nowMs: number): void {
    const { currentTerm: term, commitIndex, log } = this.#raft;
    while (this.#stepped.length < MAX_FRAMES_PER_TURN) {
      const group = this.#proposals.takeGroup();
      if (group === undefined) return;
      const { lastIndex } = log;
      const isSubscription = group[0]?.batch.isSubscription === true;
      // Acknowledgements let the log be cut off: they go on when there is no room for commands.
      const refusal = isSubscription ? undefined : this.#diskGuard.refusal;
      const admission = admit(batchesOf(group), { term, lastIndex, sessions: this.#sessions, refusal });
      const { commands, ids } = admission;
      if (commands.length > 0) {
        const type = isSubscription ? EntryType.subscription : EntryType.command;
        this.#raft.step({ kind: "propose", type, commands, ids });
        this.#stepped.push(lastIndex + 1);
      }
      this.#proposals.onAdmitted(group, admission, term, commitIndex, nowMs);
    }
  }

  #askHere(): void {
    const group = this.#reads.takeGroup();
    if (group === undefined) return;
    const id = this.#nextReadId++;
    this.#asked.set(id, group);
    this.#raft.step({ kind: "readIndex", id });
  }

  #forwardProposals(transport: Transport, leader: NodeId, nowMs: number): void {
    const term = this.#raft.currentTerm;
    for (let group = this.#proposals.takeGroup(); group !== undefined; group = this.#proposals.takeGroup()) {
      const sent = group;
      const request = toForward(batchesOf(sent), term);
      this.#proposals.onForwarding(sent, nowMs);
      transport.forward(leader, request, (outcome) => {
        this.#proposals.onForwardOutcome(sent, outcome);
        this.#goOnWaiting();
      });
    }
  }

  #forwardReads(transport: Transport, leader: NodeId): void {
    const group = this.#reads.takeGroup();
    if (group === undefined) return;
    transport.forward(leader, { kind: "readIndex", term: this.#raft.currentTerm }, (outcome) => {
      if (outcome.kind === "readIndex") this.#reads.onConfirmed(group, outcome.index, outcome.term);
      else this.#reads.onUnconfirmed(group);
      this.#goOnWaiting();
    });
  }

  /** What was given back is not sent again at once: the same node may still be believed to lead. */
  #goOnWaiting(): void {
    if (this.#proposals.areWaiting || this.#reads.canAsk) this.#wake(this.#options.tickMs);
  }

  #onReadOutcome(outcome: ReadOutcome): void {
    const group = this.#asked.get(outcome.id);
    assert(group !== undefined, `read barrier ${outcome.id} was answered twice`);
    this.#asked.delete(outcome.id);
    switch (outcome.kind) {
      case "readIndex":
        return this.#reads.onConfirmed(group, outcome.index, outcome.term);
      case "notLeader":
        return this.#reads.onUnconfirmed(group);
      default:
        unreachable(outcome);
    }
  }
}
