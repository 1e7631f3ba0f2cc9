import type { EntryId } from "../support/client.ts";
import { History, type Outcome } from "../support/writers.ts";

/** An entry whose proposer was told that it is committed. */
export interface Acknowledgement extends EntryId {
  readonly command: string;
}

/** A node that led in a term: a majority, itself included, has voted for it. */
export interface Leadership {
  readonly term: number;
  readonly id: string;
}

interface At<T> {
  /** The journal's size when it was heard: what it rests on was done before. */
  readonly position: number;
  readonly promise: T;
}

/** What nodes said to their clients, and when. */
export class Promises extends History {
  readonly #position: () => number;
  readonly #acknowledgements: At<Acknowledgement>[] = [];
  readonly #leaderships: At<Leadership>[] = [];

  /** `position` is asked for the journal's size whenever something was heard. */
  constructor(position: () => number) {
    super();
    this.#position = position;
  }

  override answered(command: string, outcome: Outcome): void {
    super.answered(command, outcome);
    if (outcome.kind !== "acknowledged") return;
    this.#acknowledgements.push({ position: this.#position(), promise: { ...outcome.at, command } });
  }

  led(leadership: Leadership): void {
    this.#leaderships.push({ position: this.#position(), promise: leadership });
  }

  acknowledgedBefore(position: number): Acknowledgement[] {
    return before(this.#acknowledgements, position);
  }

  leadershipsBefore(position: number): Leadership[] {
    return before(this.#leaderships, position);
  }
}

function before<T>(promises: readonly At<T>[], position: number): T[] {
  return promises.filter((one) => one.position <= position).map(({ promise }) => promise);
}
