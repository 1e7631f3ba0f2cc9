import type { Raft } from "../raft/raft.ts";

/** Tells this node's services that there is more to deliver. */
export class Applied {
  readonly #raft: Raft;
  readonly #onFirst: () => void;
  readonly #listeners = new Set<() => void>();
  #announced: number;

  /** `onFirst` is called when the log's first entry may be delivered. */
  constructor(raft: Raft, onFirst: () => void) {
    this.#raft = raft;
    this.#onFirst = onFirst;
    this.#announced = raft.lastApplied;
  }

  /** Calls `listener` whenever there may be more to deliver, or to know. Returns how to stop. */
  add(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A turn has passed. */
  onTurn(): void {
    const { lastApplied } = this.#raft;
    if (lastApplied <= this.#announced) return;
    if (this.#announced === 0) this.#onFirst();
    this.#announced = lastApplied;
    this.tell();
  }

  tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
