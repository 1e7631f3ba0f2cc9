import { joined, numberPart, textPart } from "../frame/parts.ts";
import { VarintReader } from "../frame/varint.ts";
import { readName, type SubscriptionOp } from "./subscription.ts";

/** How many durable subscribers a cluster remembers: a constant of the log's meaning, equal on all nodes. */
export const MAX_SUBSCRIBERS = 1_000;

/** A durable subscriber, as of some entry of the log. */
export interface Subscription {
  readonly name: string;
  /** It has applied everything to here, as far as it said. */
  readonly cursor: number;
  /** Index of the entry with which its newest stream was opened. */
  readonly generation: number;
}

/** How far each durable subscriber is: a function of the log, as the session table is. */
export class CursorTable {
  readonly #byName = new Map<string, Subscription>();
  /** Undefined until it is asked for. */
  #lowest: number | undefined;

  constructor(subscriptions: readonly Subscription[] = []) {
    for (const subscription of subscriptions) this.#byName.set(subscription.name, subscription);
  }

  get(name: string): Subscription | undefined {
    return this.#byName.get(name);
  }

  /** In the order in which the names came up. */
  list(): Subscription[] {
    return [...this.#byName.values()];
  }

  /** The lowest cursor; Infinity when there is none. */
  get lowest(): number {
    this.#lowest ??= this.list().reduce((lowest, { cursor }) => Math.min(lowest, cursor), Number.POSITIVE_INFINITY);
    return this.#lowest;
  }

  /** Whether a new name finds no place. */
  get isFull(): boolean {
    return this.#byName.size >= MAX_SUBSCRIBERS;
  }

  /** The entry at `index` is committed. What it says of a stream that was replaced, or beyond itself, changes nothing. */
  apply(op: SubscriptionOp, index: number): void {
    this.#lowest = undefined;
    switch (op.kind) {
      case "open":
        return this.#open(op.name, Math.min(op.newCursor, index - 1), index);
      case "acknowledge":
        for (const { name, generation, cursor } of op.cursors) this.#acknowledge(name, generation, cursor, index);
        return;
      case "remove": {
        const subscription = this.#byName.get(op.name);
        if (subscription !== undefined && subscription.cursor <= op.upTo) this.#byName.delete(op.name);
        return;
      }
    }
  }

  encode(): Uint8Array {
    const parts = this.list().map(({ name, cursor, generation }) =>
      joined([textPart(name), numberPart(cursor), numberPart(generation)]),
    );
    return joined([numberPart(parts.length), ...parts]);
  }

  #open(name: string, newCursor: number, index: number): void {
    const known = this.#byName.get(name);
    if (known === undefined && this.isFull) return;
    this.#byName.set(name, { name, cursor: known?.cursor ?? newCursor, generation: index });
  }

  #acknowledge(name: string, generation: number, cursor: number, index: number): void {
    const known = this.#byName.get(name);
    if (known === undefined || known.generation !== generation || cursor <= known.cursor || cursor >= index) return;
    this.#byName.set(name, { ...known, cursor });
  }
}

/** Throws a RangeError when `bytes` aren't a whole table's. */
export function decodeCursors(bytes: Uint8Array): CursorTable {
  const reader = new VarintReader(bytes, 0, bytes.length);
  const subscriptions = new Map<string, Subscription>();
  for (let left = reader.read(); left > 0; left--) {
    const name = readName(reader);
    if (subscriptions.has(name)) throw new RangeError(`subscriber "${name}" is there twice`);
    subscriptions.set(name, { name, cursor: reader.read(), generation: reader.read() });
  }
  if (reader.at !== bytes.length) throw new RangeError("bytes follow the last subscriber");
  return new CursorTable([...subscriptions.values()]);
}
