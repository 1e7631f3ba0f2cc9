import type { Raft } from "../raft/raft.ts";
import type { Clock } from "./clock.ts";
import type { Members } from "./members.ts";

/** How long a node that has known a leader stays ready without one: elections pass, and restart nobody. */
const LEADERLESS_GRACE_MS = 5_000;

/** Whether the node takes part and can serve. */
export class Readiness {
  readonly #raft: Raft;
  readonly #members: Members;
  readonly #clock: Clock;
  #leaderSeenMs = Number.NEGATIVE_INFINITY;

  constructor(raft: Raft, members: Members, clock: Clock) {
    this.#raft = raft;
    this.#members = members;
    this.#clock = clock;
  }

  /** For people; "" when ready. */
  notReadyReason(): string {
    if (!this.#members.isBootstrapped) return this.#members.waitsFor;
    const nowMs = this.#clock.nowMs();
    if (this.#raft.leader !== "") this.#leaderSeenMs = nowMs;
    if (nowMs - this.#leaderSeenMs < LEADERLESS_GRACE_MS) return "";
    return `no leader is known in term ${this.#raft.currentTerm}: is a majority of the voters up and reachable?`;
  }
}
