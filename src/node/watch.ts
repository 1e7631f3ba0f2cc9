import type { StateEvent } from "./api.ts";

/** Numbers this node's changes of role, term and leader, and tells them to whoever watches. */
export class Watch {
  #event: StateEvent;
  readonly #listeners = new Set<(event: StateEvent) => void>();

  constructor(first: Omit<StateEvent, "number">) {
    this.#event = { number: 1, ...first };
  }

  /** Tells the present event at once, and later ones as they come, until the returned function is called. */
  add(listener: (event: StateEvent) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#event);
    return () => this.#listeners.delete(listener);
  }

  /** Takes note of the state after a turn. Returns the event when it is a new one. */
  maybeChange(state: Omit<StateEvent, "number">): StateEvent | undefined {
    const { role, term, leader, leaderAddress, leaderIndex } = this.#event;
    const isSame =
      role === state.role &&
      term === state.term &&
      leader === state.leader &&
      leaderAddress === state.leaderAddress &&
      leaderIndex === state.leaderIndex;
    if (isSame) return undefined;
    this.#event = { number: this.#event.number + 1, ...state };
    for (const listener of this.#listeners) listener(this.#event);
    return this.#event;
  }
}
