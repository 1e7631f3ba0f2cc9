import { assert } from "../../src/assert.ts";
import { WORDS } from "./state.ts";

const CHUNK_BITS = 18;
const CHUNK = 1 << CHUNK_BITS;
/** A state's words, and the place of the state that it was first met from. */
const RECORD = WORDS + 1;

/** All states that were met, in their order, exact and not only by a hash. */
export class Visited {
  count = 0;
  readonly #chunks: Uint32Array[] = [];
  /** Open addressing: 0, or 1 and a state's place. */
  #table = new Uint32Array(1 << 16);

  get bytes(): number {
    return this.#chunks.length * CHUNK * RECORD * 4 + this.#table.byteLength;
  }

  /** Whether the state is new. */
  add(words: Uint32Array, parent: number): boolean {
    if (this.count * 4 > this.#table.length * 3) this.#grow();
    let slot = hash(words) & (this.#table.length - 1);
    for (let entry = this.#table[slot] ?? 0; entry !== 0; entry = this.#table[slot] ?? 0) {
      if (this.#equals(entry - 1, words)) return false;
      slot = (slot + 1) & (this.#table.length - 1);
    }
    if ((this.count & (CHUNK - 1)) === 0) this.#chunks.push(new Uint32Array(CHUNK * RECORD));
    const chunk = this.#chunk(this.count);
    const start = startOf(this.count);
    for (let i = 0; i < WORDS; i++) chunk[start + i] = words[i] ?? 0;
    chunk[start + WORDS] = parent;
    this.count++;
    this.#table[slot] = this.count;
    return true;
  }

  read(place: number, words: Uint32Array): void {
    const chunk = this.#chunk(place);
    const start = startOf(place);
    for (let i = 0; i < WORDS; i++) words[i] = chunk[start + i] ?? 0;
  }

  parent(place: number): number {
    return this.#chunk(place)[startOf(place) + WORDS] ?? 0;
  }

  #chunk(place: number): Uint32Array {
    const chunk = this.#chunks[place >>> CHUNK_BITS];
    assert(chunk !== undefined, `there is no state ${place}`);
    return chunk;
  }

  #equals(place: number, words: Uint32Array): boolean {
    const chunk = this.#chunk(place);
    const start = startOf(place);
    for (let i = 0; i < WORDS; i++) if (chunk[start + i] !== words[i]) return false;
    return true;
  }

  #grow(): void {
    const table = new Uint32Array(this.#table.length * 2);
    const words = new Uint32Array(WORDS);
    for (let place = 0; place < this.count; place++) {
      this.read(place, words);
      let slot = hash(words) & (table.length - 1);
      while (table[slot] !== 0) slot = (slot + 1) & (table.length - 1);
      table[slot] = place + 1;
    }
    this.#table = table;
  }
}

function startOf(place: number): number {
  return (place & (CHUNK - 1)) * RECORD;
}

function hash(words: Uint32Array): number {
  let mixed = 0x9e3779b9;
  for (let i = 0; i < WORDS; i++) {
    mixed = Math.imul(mixed ^ (words[i] ?? 0), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0xc2b2ae35);
    mixed ^= mixed >>> 13;
  }
  return mixed >>> 0;
}
