import { assert } from "../../src/assert.ts";
import type { Frame } from "../../src/raft/types.ts";

/** What a subscriber is sent: commands of the log after `prev` to `last`. */
export interface SentBatch {
  readonly prev: number;
  readonly last: number;
  readonly frames: readonly Frame[];
}

const batches = new WeakMap<Buffer, SentBatch>();

/** Stands for the bytes of a batch, whose encoding is tested elsewhere, so that a subscriber can look at its frames. */
export function encodeAsFrames(prev: number, last: number, frames: readonly Frame[]): Buffer {
  const encoded = Buffer.alloc(0);
  batches.set(encoded, { prev, last, frames });
  return encoded;
}

export function framesOf(encoded: Buffer): SentBatch {
  const batch = batches.get(encoded);
  assert(batch !== undefined, "a batch that the hub has made");
  return batch;
}
