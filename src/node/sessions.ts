import { assert } from "../assert.ts";
import { Failure } from "../failure.ts";
import { decodeEntries, textOf } from "../frame/codec.ts";
import type { Raft } from "../raft/raft.ts";
import type { EntryId, Frame, ProposalId } from "../raft/types.ts";
import { decodeSessions } from "../session/checkpoint.ts";
import { type Found, SessionTable } from "../session/session-table.ts";
import type { Storage } from "../storage/storage.ts";
import { readLog } from "./log-reader.ts";
import type { NodeOptions } from "./options.ts";
import { SessionCheckpoints } from "./session-checkpoints.ts";

/** What one turn takes in of a log that it lags behind. */
const MAX_BYTES_PER_TURN = 512 * 1024;

/**
 * What of the log was proposed with an id. The table follows what is committed and durable on this node, as a subscriber
 * would, so no truncation ever reaches it. What a leader has appended since its no-op and is not in the table yet stands
 * beside it, and is forgotten with the leadership: it may be lost, and the table learns of it when it isn't.
 */
export class Sessions {
  readonly #raft: Raft;
  readonly #storage: Storage;
  readonly #onProgress: () => void;
  readonly #table: SessionTable;
  readonly #checkpoints: SessionCheckpoints;
  /** The table is that of the log up to here. */
  #index: number;
  #isReading = false;
  /** By client id and sequence, the index: of entries of the present term, while this node leads. */
  readonly #appended = new Map<string, Map<number, number>>();
  #appendedCount = 0;

  /** `onProgress` is called when there is more to `follow`. */
  constructor(raft: Raft, storage: Storage, options: NodeOptions, onProgress: () => void) {
    this.#raft = raft;
    this.#storage = storage;
    this.#onProgress = onProgress;
    const { sessions } = storage.recovered;
    this.#table =
      sessions === undefined
        ? new SessionTable(options.sessionLimits)
        : decodeSessions(sessions.bytes, options.sessionLimits);
    this.#index = sessions?.index ?? raft.log.base.index;
    this.#checkpoints = new SessionCheckpoints(this.#table, this.#index, storage, options);
  }

  /** Whether the log holds a proposal, as far as the table and what was appended since go. */
  find(id: ProposalId): Found {
    const index = this.#appended.get(id.clientId)?.get(id.sequence);
    if (index !== undefined) return { kind: "known", id: { index, term: this.#raft.currentTerm } };
    return this.#table.find(id);
  }

  /** Whether a leader knows all that its predecessors appended, so that `find` tells a new proposal for certain. */
  get areKnown(): boolean {
    const { role } = this.#raft;
    return role.kind === "leader" && this.#index >= role.noOpIndex;
  }

  /** What a leader that can't propose yet still reads; "" for nothing, and on a follower. */
  get lag(): string {
    const { role, commitIndex } = this.#raft;
    if (role.kind !== "leader" || commitIndex < role.noOpIndex || this.areKnown) return "";
    return `it leads, and reads its log for the sessions of clients: entry ${this.#index} of ${role.noOpIndex}`;
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
    if (this.#checkpoints.advance()) this.#onProgress();
    const { lastApplied } = this.#raft;
    if (this.#isReading || this.#index >= lastApplied) return;
    this.#isReading = true;
    readLog(this.#raft, this.#storage, this.#index + 1, lastApplied, MAX_BYTES_PER_TURN, (frames) => {
      this.#isReading = false;
      assert(!(frames instanceof Failure), "what the session table lacks is in the log");
      for (const frame of frames) this.#take(frame);
      this.#onProgress();
    });
  }

  #take(frame: Frame): void {
    assert(frame.first === this.#index + 1, `the session table goes from ${this.#index} on to ${frame.first}`);
    for (const { index, term, clientId, sequence } of decodeEntries(frame.bytes)) {
      if (sequence === 0) continue;
      const id = { clientId: textOf(clientId), sequence };
      this.#table.add(id, { index, term });
      this.#forgetAppended(id, { index, term });
    }
    this.#index = frame.last;
    this.#checkpoints.onTaken(this.#index, frame.bytes.length);
    const beyond = this.#raft.log.lastIndex - this.#index;
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
