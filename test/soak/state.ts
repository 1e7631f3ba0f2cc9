import { hash } from "node:crypto";
import type { Entry } from "../../gen/raft/v1/log_pb.js";
import { generatedChunks } from "./generated.ts";

/** The commands of one client that were applied: all to `floor`, and these beyond it. */
interface Seen {
  floor: number;
  readonly beyond: Set<number>;
}

interface Encoded {
  readonly position: number;
  readonly term: number;
  readonly digest: string;
  readonly commands: number;
  readonly doubled: number;
  readonly clients: readonly (readonly [id: string, floor: number, beyond: readonly number[]])[];
}

const LENGTH_BYTES = 4;
const NOTHING = Buffer.alloc(32);

/**
 * What a state machine has made of the log: a digest of every command in its place, and which of each client's sequences it
 * has seen, so that one that is missing or doubled shows.
 */
export class State {
  /** Everything to here is applied. */
  position = 0;
  /** Of the command applied last; 0 before the first. */
  term = 0;
  commands = 0;
  doubled = 0;
  #digest: Buffer = NOTHING;
  readonly #clients = new Map<string, Seen>();

  get digest(): string {
    return this.#digest.toString("hex");
  }

  apply({ index, term, command, clientId, sequence }: Entry): void {
    const link = Buffer.allocUnsafe(NOTHING.length + 16 + command.length);
    link.set(this.#digest);
    link.writeBigUInt64LE(index, NOTHING.length);
    link.writeBigUInt64LE(term, NOTHING.length + 8);
    link.set(command, NOTHING.length + 16);
    this.#digest = hash("sha256", link, "buffer");
    this.position = Number(index);
    this.term = Number(term);
    this.commands++;
    this.#see(clientId, Number(sequence));
  }

  /** What is wrong when each client's sequences from 1 to these, and no other, were to be applied once. */
  violations(expected: ReadonlyMap<string, number>): string[] {
    const found = this.doubled > 0 ? [`${this.doubled} commands were applied twice`] : [];
    for (const [id, last] of expected) {
      const { floor, beyond } = this.#clients.get(id) ?? { floor: 0, beyond: new Set<number>() };
      const highest = Math.max(floor, ...beyond);
      if (floor < last) found.push(`${id} misses ${floor + 1}, of ${last}`);
      if (highest > last) found.push(`${id} has ${highest}, which was never sent`);
    }
    for (const id of this.#clients.keys()) if (!expected.has(id)) found.push(`${id} was never sent`);
    return found;
  }

  /** As a snapshot, filled up to `bytes`. */
  *encode(bytes: number): Generator<Buffer> {
    const clients = [...this.#clients].map(([id, { floor, beyond }]) => [id, floor, [...beyond]] as const);
    const { position, term, digest, commands, doubled } = this;
    const json = Buffer.from(JSON.stringify({ position, term, digest, commands, doubled, clients } satisfies Encoded));
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(json.length);
    yield Buffer.concat([length, json]);
    yield* generatedChunks(Math.max(0, bytes - LENGTH_BYTES - json.length), position);
  }

  static decode(bytes: Buffer): State {
    const json = bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + bytes.readUInt32LE());
    const { position, term, digest, commands, doubled, clients } = JSON.parse(json.toString()) as Encoded;
    const state = new State();
    Object.assign(state, { position, term, commands, doubled });
    state.#digest = Buffer.from(digest, "hex");
    for (const [id, floor, beyond] of clients) state.#clients.set(id, { floor, beyond: new Set(beyond) });
    return state;
  }

  #see(id: string, sequence: number): void {
    let seen = this.#clients.get(id);
    if (seen === undefined) {
      seen = { floor: 0, beyond: new Set() };
      this.#clients.set(id, seen);
    }
    if (sequence <= seen.floor || seen.beyond.has(sequence)) this.doubled++;
    else if (sequence > seen.floor + 1) seen.beyond.add(sequence);
    else {
      seen.floor = sequence;
      while (seen.beyond.delete(seen.floor + 1)) seen.floor++;
    }
  }
}
