import { assert } from "../assert.ts";
import type { Raft } from "../raft/raft.ts";
import type { EntryId, ProposalId } from "../raft/types.ts";
import type { CursorTable } from "../session/cursor-table.ts";
import type { Found } from "../session/session-table.ts";
import type { SubscriptionOp } from "../session/subscription.ts";
import type { Recovered, Storage } from "../storage/storage.ts";
import { LogTables } from "./log-tables.ts";
import type { NodeOptions } from "./options.ts";
import { decodeLogState, decodeOwnState, type LogState } from "./own-state.ts";
import { SessionCheckpoints } from "./session-checkpoints.ts";
import { SessionFollower } from "./session-follower.ts";

export interface SessionsHooks {
  /** Called when there is more to `follow`. */
  readonly onProgress: () => void;
  /** Called with the number of bytes of each frame that was taken in. */
  readonly onTaken: (bytes: number) => void;
  /** Called with what was done to the cursors by the entry at `index`. */
  readonly onSubscription: (op: SubscriptionOp, index: number) => void;
}

/**
 * What of the log was proposed with an id. The table follows what is committed and durable on this node, as a subscriber
 * would, so no truncation ever reaches it. What a leader has appended since its no-op and is not in the table yet stands
 * beside it, and is forgotten with the leadership: it may be lost, and the table learns of it when it isn't.
 */
export class Sessions {
  readonly #raft: Raft;
  readonly #storage: Storage;
  readonly #options: NodeOptions;
  readonly #hooks: SessionsHooks;
  #follower: SessionFollower;
  #checkpoints: SessionCheckpoints;
  /** By client id and sequence, the index: of entries of the present term, while this node leads. */
  readonly #appended = new Map<string, Map<number, number>>();
  #appendedCount = 0;

  constructor(raft: Raft, storage: Storage, options: NodeOptions, hooks: SessionsHooks) {
    this.#raft = raft;
    this.#storage = storage;
    this.#options = options;
    this.#hooks = hooks;
    const { index, state, bytes } = newestState(storage.recovered);
    this.#follower = this.#followFrom(index, state);
    this.#checkpoints = this.#checkpointsFrom(index, bytes);
  }

  /** As of `index`. */
  get cursors(): CursorTable {
    return this.#follower.tables.cursors;
  }

  /** The table is that of the log up to here. */
  get index(): number {
    return this.#follower.index;
  }

  /** The log was replaced by a snapshot: the tables are its, as of `index`. */
  replace(index: number, state: LogState): void {
    this.#follower.stop();
    this.#follower = this.#followFrom(index, state);
    this.#checkpoints.stop();
    this.#checkpoints = this.#checkpointsFrom(index, state.sessions.length);
  }

  /** Whether the log holds a proposal, as far as the table and what was appended since go. */
  find(id: ProposalId): Found {
    const index = this.#appended.get(id.clientId)?.get(id.sequence);
    if (index !== undefined) return { kind: "known", id: { index, term: this.#raft.currentTerm } };
    return this.#follower.tables.sessions.find(id);
  }

  /** Whether a leader knows all that its predecessors appended, so that `find` tells a new proposal for certain. */
  get areKnown(): boolean {
    const { role } = this.#raft;
    return role.kind === "leader" && this.index >= role.noOpIndex;
  }

  /** What a leader that can't propose yet still reads; "" for nothing, and on a follower. */
  get lag(): string {
    const { role, commitIndex } = this.#raft;
    if (role.kind !== "leader" || commitIndex < role.noOpIndex || this.areKnown) return "";
    return `it leads, and reads its log for the sessions of clients: entry ${this.index} of ${role.noOpIndex}`;
  }

  /** This node, as the leader, appends a proposal at `index`. */
  onAppend({ clientId, sequence }: ProposalId, index: number): void {
    let sequences = this.#appended.get(clientId);
    if (sequences === undefined) {
      sequences = new Map();
      this.#appended.set(clientId, sequences);
    }
    assert(!sequences.has(sequence), `sequence ${sequence} of ${clientId} is appended twice`);
    sequences.set(sequence, index);
    this.#appendedCount++;
  }

  onLeadershipLost(): void {
    this.#appended.clear();
    this.#appendedCount = 0;
  }

  /** Takes in what has been committed, and goes on with a checkpoint. To be called after every turn. */
  follow(): void {
    if (this.#checkpoints.advance()) this.#hooks.onProgress();
    const { lastApplied, durability } = this.#raft;
    const goesOn = this.#follower.follow(lastApplied);
    assert(goesOn || durability.isResetting, `what the session table lacks, from ${this.index} on, is in the log`);
  }

  #followFrom(index: number, state: LogState | undefined): SessionFollower {
    const tables = LogTables.of(state, this.#options.sessionLimits);
    return new SessionFollower(this.#raft, this.#storage, tables, index, {
      onProgress: this.#hooks.onProgress,
      onSubscription: this.#hooks.onSubscription,
      onId: (id, entry) => this.#forgetAppended(id, entry),
      onFrame: ({ last, bytes: { length } }) => this.#onTaken(last, length),
    });
  }

  #checkpointsFrom(index: number, bytes: number): SessionCheckpoints {
    return new SessionCheckpoints(this.#follower.tables, index, bytes, this.#storage, this.#options);
  }

  #onTaken(index: number, bytes: number): void {
    this.#checkpoints.onTaken(index, bytes);
    this.#hooks.onTaken(bytes);
    const beyond = this.#raft.log.lastIndex - index;
    assert(this.#appendedCount <= beyond, `${this.#appendedCount} ids of ${beyond} entries are beside the table`);
  }

  #forgetAppended({ clientId, sequence }: ProposalId, { index }: EntryId): void {
    const sequences = this.#appended.get(clientId);
    if (sequences?.get(sequence) !== index) return;
    sequences.delete(sequence);
    this.#appendedCount--;
    if (sequences.size === 0) this.#appended.delete(clientId);
  }
}

/** What a start goes on from: the checkpoint or the newest snapshot, whichever is the later one. */
function newestState({ sessions, snapshots }: Recovered): Newest {
  const snapshot = snapshots.at(-1);
  if (snapshot === undefined || (sessions !== undefined && sessions.index >= snapshot.last.index)) {
    if (sessions === undefined) return { index: 0, state: undefined, bytes: 0 };
    return { index: sessions.index, state: decodeLogState(sessions.bytes), bytes: sessions.bytes.length };
  }
  const { last, ownState } = snapshot;
  return { index: last.index, state: decodeOwnState(ownState), bytes: ownState.length };
}

interface Newest {
  readonly index: number;
  readonly state: LogState | undefined;
  /** What it takes. */
  readonly bytes: number;
}
