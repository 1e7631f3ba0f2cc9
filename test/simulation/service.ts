import { assert, unreachable } from "../../src/assert.ts";
import { type History, type Input, UNSET } from "./history.ts";
import type { Host } from "./host.ts";
import type { KeyValueOutput } from "./linearizability/models.ts";
import { Subscriber } from "./subscriber.ts";
import type { World } from "./world.ts";

/** What a command does to a state, as every replica does it. */
export function apply(values: Map<string, string>, input: Input): KeyValueOutput {
  const before = values.get(input.key) ?? UNSET;
  switch (input.kind) {
    case "read":
      return { kind: "found", value: before };
    case "write":
      values.set(input.key, input.value);
      return { kind: "done" };
    case "compareAndSet":
      if (before !== input.expected) return { kind: "mismatch" };
      values.set(input.key, input.value);
      return { kind: "done" };
    default:
      return unreachable(input);
  }
}

/** The key-value service beside one node. State and position are one: they survive the machine's crashes together. */
export class Service {
  readonly host: Host;
  readonly values = new Map<string, string>();
  readonly #subscriber: Subscriber;
  #waiting: { readonly index: number; readonly then: () => void }[] = [];

  constructor(world: World, history: History, host: Host) {
    this.host = host;
    this.#subscriber = new Subscriber(
      world,
      `the service of ${host.id}`,
      (index, entry) => apply(this.values, history.at(index, entry).input),
      (position) => this.#onPosition(position),
    );
  }

  get position(): number {
    return this.#subscriber.position;
  }

  /** A process has started beside it. */
  onStart(): void {
    const { directory, mounted } = this.host;
    assert(
      mounted !== directory || directory.log.lastIndex >= this.position,
      `${this.host.id} comes back with less log than its service has applied`,
    );
    this.#subscriber.subscribe(this.host);
  }

  /** Calls `then` once everything to `index` is applied. */
  whenApplied(index: number, then: () => void): void {
    if (this.position >= index) then();
    else this.#waiting.push({ index, then });
  }

  #onPosition(position: number): void {
    if (this.#waiting.length === 0) return;
    const due = this.#waiting.filter(({ index }) => index <= position);
    this.#waiting = this.#waiting.filter(({ index }) => index > position);
    for (const { then } of due) then();
  }
}
