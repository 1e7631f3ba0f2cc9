import type { Clock } from "../clock.ts";
import type { Raft } from "../raft/raft.ts";
import type { Members } from "./members.ts";
import type { Sessions } from "./sessions.ts";

/** How long a node that has known a leader stays ready without one: elections pass, and restart nobody. */
const LEADERLESS_GRACE_MS = 5_000;

/** How long a disk may keep a write waiting until the node can serve no more. */
const HUNG_DISK_GRACE_MS = 5_000;

/** Whether the node takes part and can serve. */
export class Readiness {
  readonly #raft: Raft;
  readonly #members: Members;
  readonly #sessions: Pick<Sessions, "lag">;
  readonly #clock: Clock;
  #leaderSeenMs = Number.NEGATIVE_INFINITY;
  #diskKeptUpMs: number;

  constructor(raft: Raft, members: Members, sessions: Pick<Sessions, "lag">, clock: Clock) {
    this.#raft = raft;
    this.#members = members;
    this.#sessions = sessions;
    this.#clock = clock;
    this.#diskKeptUpMs = clock.nowMs();
  }

  /** A turn has passed. */
  onTurn(nowMs: number): void {
    if (this.#raft.leader !== "") this.#leaderSeenMs = nowMs;
    if (!this.#raft.isDiskOverdue) this.#diskKeptUpMs = nowMs;
  }

  /** For people; "" when ready. */
  notReadyReason(): string {
    if (!this.#members.isBootstrapped) return this.#members.waitsFor;
    if (this.#raft.isDiskOverdue && this.#clock.nowMs() - this.#diskKeptUpMs >= HUNG_DISK_GRACE_MS) {
      return "its disk has not finished a write for seconds: does it hang?";
    }
    if (this.#sessions.lag !== "") return this.#sessions.lag;
    if (this.#raft.leader !== "" || this.#clock.nowMs() - this.#leaderSeenMs < LEADERLESS_GRACE_MS) return "";
    return `no leader is known in term ${this.#raft.currentTerm}: is a majority of the voters up and reachable?`;
  }
}
