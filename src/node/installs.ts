import type { Clock } from "../clock.ts";
import { Failure } from "../failure.ts";
import type { Message, SnapshotOffer } from "../raft/message.ts";
import type { Raft } from "../raft/raft.ts";
import type { EntryId, NodeId } from "../raft/types.ts";
import { faultOfOwnState, type OwnLog } from "./own-state-fault.ts";
import type { Snapshots } from "./snapshots.ts";
import type { FetchedSnapshot, Transport } from "./transport.ts";

/** From a try that failed to the next. */
const RETRY_MS = 1_000;

export interface InstallsOptions {
  readonly raft: Raft;
  readonly snapshots: Snapshots;
  readonly clock: Clock;
  readonly ownLog: () => OwnLog;
  /** What became of a snapshot of another member, for the log. */
  readonly onInstall: (event: InstallEvent) => void;
}

export interface InstallEvent {
  readonly from: NodeId;
  readonly index: number;
  /** Why it was not taken; undefined when it was. */
  readonly failure: Error | undefined;
}

/**
 * Brings other members' snapshots here: the newest, so that this node may cut off its log, one at a time; and one that is
 * further than its log, when the leader's log begins too late for it. For that it doesn't wait for another member, which may
 * have died in the middle of what it was sending: without this node there may be no quorum.
 */
export class Installs {
  readonly #options: InstallsOptions;
  /** From whom something is on its way. */
  readonly #fetching = new Set<NodeId>();
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #isEnded = false;

  constructor(options: InstallsOptions) {
    this.#options = options;
  }

  /** Looks at what a message offers. Returns what is wrong with that. */
  onMessage(message: Message, transport: Transport): string | undefined {
    const offer = offerOf(message);
    if (offer === undefined) return undefined;
    const { raft, snapshots, clock } = this.#options;
    const { last, isNeeded } = offer;
    if (last.index <= (snapshots.latest?.last.index ?? 0)) return undefined;
    const found = last.index <= raft.lastApplied ? raft.log.termAt(last.index) : undefined;
    if (found !== undefined && found !== last.term) {
      return `the snapshot of entry ${last.index} is of term ${last.term}, and another is committed`;
    }
    const isWanted = isNeeded || last.index <= raft.lastApplied;
    const isBusy = isNeeded ? this.#fetching.has(message.from) : this.#fetching.size > 0;
    if (!isWanted || isBusy || clock.nowMs() < this.#notBeforeMs) return undefined;
    this.#fetch(message.from, last, transport);
    return undefined;
  }

  /** What is still under way changes nothing any more. */
  end(): void {
    this.#isEnded = true;
  }

  #fetch(from: NodeId, last: EntryId, transport: Transport): void {
    this.#fetching.add(from);
    transport.fetchSnapshot(from, last, (result) => {
      if (this.#isEnded) {
        if (!(result instanceof Error)) result.discard();
        return;
      }
      if (result instanceof Error) return this.#ended(from, last, result);
      const fault = faultOfOwnState(result.ownState, last, this.#options.ownLog());
      if (fault === undefined) return this.#add(from, result);
      result.discard();
      this.#ended(from, last, new Failure("INVALID_ARGUMENT", `${from} gave a state that can't be taken: ${fault}`));
    });
  }

  #add(from: NodeId, fetched: FetchedSnapshot): void {
    this.#options.snapshots.add(fetched, (result) => {
      const failure = result instanceof Error ? result : undefined;
      if (failure !== undefined) fetched.discard();
      this.#ended(from, fetched.last, failure);
    });
  }

  #ended(from: NodeId, { index }: EntryId, failure: Error | undefined): void {
    const { clock, onInstall } = this.#options;
    this.#fetching.delete(from);
    if (failure !== undefined) this.#notBeforeMs = clock.nowMs() + RETRY_MS;
    onInstall({ from, index, failure });
  }
}

/** What of a snapshot a message tells of. */
function offerOf(message: Message): SnapshotOffer | undefined {
  if (message.kind === "appendEntries") return message.offer;
  if (message.kind !== "appendEntriesResponse" || message.snapshot === undefined) return undefined;
  return { last: message.snapshot, isNeeded: false };
}
