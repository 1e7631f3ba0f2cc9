import type { Clock } from "../clock.ts";
import type { Raft } from "../raft/raft.ts";
import { isCommitUntold } from "../raft/replication.ts";

/**
 * How long the news of a commit waits for entries that bring it along. Under load they always come in time, and a
 * message to each follower, its answer and the turns for both are saved; without load a follower's subscribers get the
 * entry so much later.
 */
const WAIT_MS = 1;

/** Decides when followers are told of a commit in a message of its own. */
export class CommitNews {
  readonly #raft: Raft;
  readonly #clock: Clock;
  readonly #onDue: () => void;
  #isWaiting = false;
  #due = 0;
  #lastSeen = 0;

  /** `onDue` is called when the next turn has something to tell. */
  constructor(raft: Raft, clock: Clock, onDue: () => void) {
    this.#raft = raft;
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Up to here all followers are to know by now. */
  get due(): number {
    return this.#due;
  }

  /** A turn has passed. */
  onTurn(): void {
    const { commitIndex, role } = this.#raft;
    if (this.#isWaiting || role.kind !== "leader" || commitIndex === this.#lastSeen) return;
    this.#lastSeen = commitIndex;
    this.#isWaiting = true;
    this.#clock.setTimer(WAIT_MS, () => {
      this.#isWaiting = false;
      this.#due = commitIndex;
      // What was committed meanwhile waits anew.
      if (isCommitUntold(this.#raft, commitIndex)) this.#onDue();
      else this.onTurn();
    });
  }
}
