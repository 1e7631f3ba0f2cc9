import { unreachable } from "../assert.ts";
import { onAppendEntries, onPersistedAsFollower } from "./append-entries.ts";
import { Durability } from "./durability.ts";
import { maybeCampaign, onRequestVote, onRequestVoteResponse } from "./election.ts";
import { becomeFollower, randomTimeoutTicks } from "./follower.ts";
import type { Fetch, Input } from "./input.ts";
import { checkInvariants } from "./invariants.ts";
import { Log } from "./log.ts";
import type { Message } from "./message.ts";
import { onReadIndex, takeReads } from "./read-index.ts";
import type { ProposalOutcome, ReadOutcome, Ready } from "./ready.ts";
import { forgetRefusal, isLeaderRefused, onReachable, onRefused } from "./refusal.ts";
import {
  appendAsLeader,
  leaderDueAt,
  maybeCommit,
  onAppendEntriesResponse,
  onFetched,
  onLeaderTick,
  onUnreachable,
  replicate,
} from "./replication.ts";
import type { Role } from "./role.ts";
import { onCompact, onInstall, onPersistedSnapshot, onSnapshot } from "./snapshot.ts";
import {
  type Configuration,
  type EncodeFrame,
  type EntryId,
  EntryType,
  type HardState,
  type NodeId,
  type TermStart,
} from "./types.ts";

/** Messages that wait for a term or vote to become durable. */
const MAX_HELD_BACK = 1_024;

export interface RaftOptions {
  readonly id: NodeId;
  readonly configuration: Configuration;
  /** An integer from 0 to below `bound`. */
  readonly random: (bound: number) => number;
  readonly encodeFrame: EncodeFrame;
  /** Becomes the log's identity should this node lead the first term. 16 random bytes. */
  readonly newLogId: Uint8Array;
  /**
   * An election timeout is drawn anew between these, both included. The minimum is also how long a leader that was heard
   * keeps its followers from voting, unless they have the hint of a refusal: so it is no lease, and no read may rest on it.
   */
  readonly electionTimeoutMinTicks: number;
  readonly electionTimeoutMaxTicks: number;
  readonly heartbeatTicks: number;
  /** Entries of one AppendEntries request, unless a single one is larger. */
  readonly maxAppendBytes: number;
  /** Requests with entries, and their bytes, that one member may have outstanding. */
  readonly maxInFlight: number;
  readonly maxInFlightBytes: number;
  /** Entries kept in memory once they are committed and durable. */
  readonly cacheBytes: number;
}

/** What the disk held at start. */
export interface RaftRecovered {
  readonly hardState: HardState;
  readonly base: EntryId;
  readonly lastIndex: number;
  readonly termStarts: readonly TermStart[];
  /** The last entry that the newest snapshot covers; (0, 0) for none. */
  readonly snapshot: EntryId;
}

/**
 * One member of a Raft cluster, as a pure state machine: `step` any number of inputs, then `takeReady` and do what it
 * says. It does no I/O, reads no clock, and draws chance from `options.random` only, so that equal inputs give equal
 * outputs.
 *
 * The fields are the state of Figure 2 and belong to this folder; the node reads them and writes none.
 */
export class Raft {
  readonly options: RaftOptions;
  readonly log: Log;
  readonly durability: Durability;
  configuration: Configuration;
  currentTerm: number;
  votedFor: NodeId;
  /** Who was seen to lead the current term, also once nobody does any more; "" for nobody. */
  termLeader: NodeId = "";
  role: Role;
  commitIndex: number;
  /** Committed and durable here: what may be delivered to this node's service. */
  lastApplied: number;
  /** The last entry that this node's newest snapshot covers. */
  snapshot: EntryId;
  nowTicks = 0;
  /** When the election timer fires. */
  electionAtTicks: number;
  /** The same because the term's leader is refused; infinite while it isn't. */
  hurryAtTicks = Number.POSITIVE_INFINITY;
  /** The hint is over by then, if nothing ends it before. */
  hurryUntilTicks = 0;

  readonly #outbox: { readonly message: Message; readonly afterTurn: number }[] = [];
  #proposals: ProposalOutcome[] = [];
  readonly reads: ReadOutcome[] = [];
  readonly fetches: Fetch[] = [];

  constructor(options: RaftOptions, recovered: RaftRecovered) {
    this.options = options;
    this.configuration = options.configuration;
    this.log = new Log(recovered.base, recovered.lastIndex, recovered.termStarts);
    this.durability = new Durability(this.log);
    this.currentTerm = recovered.hardState.currentTerm;
    this.votedFor = recovered.hardState.votedFor;
    // What a snapshot holds is committed; of the rest a leader will tell.
    this.snapshot = recovered.snapshot;
    this.commitIndex = recovered.snapshot.index;
    this.lastApplied = recovered.snapshot.index;
    this.role = {
      kind: "follower",
      leader: "",
      heardTicks: Number.NEGATIVE_INFINITY,
      verified: recovered.base.index,
      acceptedSequence: 0,
      answerDue: false,
    };
    // Who is alone has nobody to wait for.
    const alone = options.configuration.voters.length === 1 && options.configuration.outgoing.length === 0;
    this.electionAtTicks = alone ? 1 : randomTimeoutTicks(options);
    checkInvariants(this);
  }

  get id(): NodeId {
    return this.options.id;
  }

  /** The leader of the current term; "" when not known, and while it is refused: whoever asks it would wait in vain. */
  get leader(): NodeId {
    if (this.role.kind === "leader") return this.id;
    return this.role.kind === "follower" && !isLeaderRefused(this) ? this.role.leader : "";
  }

  step(input: Input): void {
    switch (input.kind) {
      case "tick":
        return this.#onTick();
      case "message":
        return this.#onMessage(input.message);
      case "propose":
        this.#proposals.push(this.#onPropose(input));
        return;
      case "readIndex":
        return onReadIndex(this, input.id);
      case "persisted":
        this.durability.onPersisted(input.turn);
        onPersistedSnapshot(this);
        return onPersistedAsFollower(this);
      case "fetched":
        return onFetched(this, input.fetch, input.frames);
      case "snapshot":
        return onSnapshot(this, input.last);
      case "compact":
        return onCompact(this, input.index);
      case "install":
        return onInstall(this, input.last);
      case "unreachable":
        return onUnreachable(this, input.member);
      case "refused":
        return onRefused(this, input.member);
      case "reachable":
        return onReachable(this, input.member);
      default:
        unreachable(input);
    }
  }

  /**
   * What there is to do after the inputs since the last call. With `mayWrite` false the disk is given nothing now: what
   * there is to write, and every message that waits for it, goes with a later Ready. Commits beyond `commitToTell` are
   * told to the others only along with entries and heartbeats.
   */
  takeReady(mayWrite = true, commitToTell = Number.POSITIVE_INFINITY): Ready {
    maybeCommit(this);
    takeReads(this);
    replicate(this, commitToTell);
    const write = mayWrite ? this.durability.takeWrite(this.nowTicks) : undefined;
    this.lastApplied = Math.max(this.lastApplied, Math.min(this.commitIndex, this.durability.index));
    this.log.evict(this.lastApplied, this.options.cacheBytes);
    checkInvariants(this);
    const proposals = this.#proposals;
    this.#proposals = [];
    return {
      write,
      messages: this.#takeMessages(),
      proposals,
      reads: this.reads.splice(0),
      fetches: this.fetches.splice(0),
    };
  }

  /**
   * Hands a message to the outbox. It leaves once the term and vote of now are on the disk: nobody may learn of them
   * before (Figure 2, "updated on stable storage before responding").
   */
  send(message: Message): void {
    const afterTurn = this.durability.hardStateTurn;
    // While a disk hangs, what it holds up is bounded; a message may always be lost.
    if (this.#outbox.length >= MAX_HELD_BACK && !this.durability.isPersisted(afterTurn)) return;
    this.#outbox.push({ message, afterTurn });
  }

  setHardState(currentTerm: number, votedFor: NodeId): void {
    if (currentTerm > this.currentTerm) {
      this.termLeader = "";
      forgetRefusal(this);
    }
    this.currentTerm = currentTerm;
    this.votedFor = votedFor;
    this.durability.setHardState({ currentTerm, votedFor });
  }

  /**
   * How long the disk may keep a turn waiting: a middling election timeout. Shared disks stall for half a second now and
   * then, and a leader that gives up for that leaves everybody with unknown outcomes.
   */
  get diskPatienceTicks(): number {
    return Math.ceil((this.options.electionTimeoutMinTicks + this.options.electionTimeoutMaxTicks) / 2);
  }

  /** Whether it has. */
  get isDiskOverdue(): boolean {
    return this.nowTicks >= this.#diskOverdueAt;
  }

  get #diskOverdueAt(): number {
    return this.durability.startedTicks + this.diskPatienceTicks;
  }

  /** So many ticks from now the core acts by itself. Fewer may be stepped together with whatever comes next. */
  get ticksUntilDue(): number {
    const { role } = this;
    const dueAt = role.kind === "leader" ? Math.min(leaderDueAt(this, role), this.#diskOverdueAt) : this.#campaignAt;
    return dueAt - this.nowTicks;
  }

  get #campaignAt(): number {
    return Math.min(this.electionAtTicks, this.hurryAtTicks);
  }

  #onTick(): void {
    this.nowTicks++;
    if (this.role.kind === "leader") onLeaderTick(this, this.role);
    else if (this.nowTicks >= this.#campaignAt) maybeCampaign(this);
  }

  #onMessage(message: Message): void {
    switch (message.kind) {
      case "requestVote":
        return onRequestVote(this, message);
      case "appendEntries":
        return onAppendEntries(this, message);
      case "requestVoteResponse":
      case "appendEntriesResponse":
        // A granted pre-vote repeats the term that was asked for, which nobody has entered yet.
        if (message.term > this.currentTerm && !(message.kind === "requestVoteResponse" && message.granted)) {
          return becomeFollower(this, message.term, "");
        }
        if (message.kind === "requestVoteResponse") return onRequestVoteResponse(this, message);
        return onAppendEntriesResponse(this, message);
      default:
        unreachable(message);
    }
  }

  #onPropose({ type = EntryType.command, commands, ids }: Extract<Input, { kind: "propose" }>): ProposalOutcome {
    if (this.role.kind !== "leader") return { kind: "notLeader" };
    return { kind: "appended", first: appendAsLeader(this, type, commands, ids) };
  }

  #takeMessages(): Message[] {
    let ready = 0;
    // Turns only rise along the outbox: hard states are persisted in order.
    while (ready < this.#outbox.length && this.durability.isPersisted(this.#outbox[ready]?.afterTurn ?? 0)) ready++;
    return this.#outbox.splice(0, ready).map((held) => held.message);
  }
}
