import type { Failure } from "../failure.ts";
import type { DiskUsage, Storage } from "../storage/storage.ts";
import type { DiskStatus } from "./api.ts";
import { diskLow } from "./failures.ts";

/** A low disk is so until a share of the limit more than the limit is free: around the limit it would change all the time. */
const LET_GO_SHARE = 1 / 8;

/**
 * Whether this node's disk is so full that as the leader it appends nothing new. What is left then is a reserve: elections,
 * entries of other leaders, reads, subscribers and compaction go on with it, and a node whose disk is full ends.
 *
 * Only the leader's disk counts. A follower can't refuse: what a leader has appended either comes to the disks of a majority
 * or stays without an answer, so a follower acknowledges as long as it has room, and what clients propose through it goes to
 * the leader, whose disk may have room. Were every node's disk to count, one full disk would stop a cluster that can do
 * without that node.
 */
export class DiskGuard {
  readonly #onEvent: (status: DiskStatus) => void;
  #status: DiskStatus | undefined;

  /** `onEvent` is called when the disk gets low, and when it is so no more. */
  constructor(storage: Pick<Storage, "onUsage">, onEvent: (status: DiskStatus) => void) {
    this.#onEvent = onEvent;
    storage.onUsage = (usage) => this.#onUsage(usage);
  }

  /** Undefined until the disk was measured. */
  get status(): DiskStatus | undefined {
    return this.#status;
  }

  /** Why a leader appends nothing new; undefined when it does. */
  get refusal(): Failure | undefined {
    return this.#status?.low === true ? diskLow(this.#status) : undefined;
  }

  #onUsage(usage: DiskUsage): void {
    const { freeBytes, limitBytes } = usage;
    const wasLow = this.#status?.low === true;
    const low = freeBytes < (wasLow ? limitBytes * (1 + LET_GO_SHARE) : limitBytes);
    this.#status = { ...usage, low };
    if (low !== wasLow) this.#onEvent(this.#status);
  }
}
