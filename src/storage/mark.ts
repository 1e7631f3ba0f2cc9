import { closeSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { assert } from "../assert.ts";
import { syncDirectory } from "./directory.ts";
import { errorCode } from "./error.ts";

/** The mark's file in the data directory. */
export const MARK_FILE = "raft.mark";

/** Far enough apart that one torn write can't hit both. */
const SLOTS_AT = [0, 4096] as const;

/** The number of writes (uint64) and the CRC32 of these 8 bytes, little-endian. */
const NUMBER_BYTES = 8;
const SLOT_BYTES = NUMBER_BYTES + 4;

/**
 * A second record, outside of SQLite, of how many writes a directory has synced: at least so many. SQLite takes a WAL
 * that is missing, cut off or damaged for one whose end was never synced, and opens without a word with what is left;
 * a node that did the same would have forgotten votes and entries that others count on. With the mark that is noticed, as
 * far as the mark had got.
 *
 * It is raised only after what it counts is synced, so nothing that a loss of power leaves is taken for damage. Two slots
 * are written in turns: a torn one leaves the other.
 */
export class HighWaterMark {
  readonly #descriptor: number;
  #writes: number;
  #nextSlot: 0 | 1;

  private constructor(descriptor: number, writes: number, nextSlot: 0 | 1) {
    this.#descriptor = descriptor;
    this.#writes = writes;
    this.#nextSlot = nextSlot;
  }

  /** Undefined when there is none in the directory, or none that can be read: its making was cut off, or it is damaged. */
  static open(directory: string): HighWaterMark | undefined {
    const descriptor = openIfThere(join(directory, MARK_FILE));
    if (descriptor === undefined) return undefined;
    const [first, second] = SLOTS_AT.map((at) => readSlot(descriptor, at));
    if (first === undefined && second === undefined) {
      closeSync(descriptor);
      return undefined;
    }
    // A process that was killed may have written the newer slot and not synced it: the next write is to the other one.
    fsyncSync(descriptor);
    const firstIsNewer = (first ?? -1) > (second ?? -1);
    return new HighWaterMark(descriptor, Math.max(first ?? 0, second ?? 0), firstIsNewer ? 1 : 0);
  }

  /** Makes one that says nothing yet, durable on return. */
  static create(directory: string): HighWaterMark {
    const descriptor = openSync(join(directory, MARK_FILE), "w+");
    for (const at of SLOTS_AT) writeSlot(descriptor, at, 0);
    fsyncSync(descriptor);
    syncDirectory(directory);
    return new HighWaterMark(descriptor, 0, 0);
  }

  /** So many writes were synced, at least. */
  get writes(): number {
    return this.#writes;
  }

  /** Remembers, durably, that so many writes are synced. */
  raise(writes: number): void {
    assert(writes >= this.#writes, `the mark falls from ${this.#writes} to ${writes} writes`);
    if (writes === this.#writes) return;
    writeSlot(this.#descriptor, SLOTS_AT[this.#nextSlot], writes);
    fsyncSync(this.#descriptor);
    this.#writes = writes;
    this.#nextSlot = this.#nextSlot === 0 ? 1 : 0;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function openIfThere(file: string): number | undefined {
  try {
    return openSync(file, "r+");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Undefined for a slot that isn't whole. */
function readSlot(descriptor: number, at: number): number | undefined {
  const slot = Buffer.alloc(SLOT_BYTES);
  if (readSync(descriptor, slot, 0, SLOT_BYTES, at) < SLOT_BYTES) return undefined;
  if (crc32(slot.subarray(0, NUMBER_BYTES)) !== slot.readUInt32LE(NUMBER_BYTES)) return undefined;
  return Number(slot.readBigUInt64LE());
}

function writeSlot(descriptor: number, at: number, writes: number): void {
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.writeBigUInt64LE(BigInt(writes));
  slot.writeUInt32LE(crc32(slot.subarray(0, NUMBER_BYTES)), NUMBER_BYTES);
  const written = writeSync(descriptor, slot, 0, SLOT_BYTES, at);
  assert(written === SLOT_BYTES, "a slot is written whole");
}
