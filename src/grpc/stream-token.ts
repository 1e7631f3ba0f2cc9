import { createHash } from "node:crypto";
import { MAX_INDEX } from "../raft/types.ts";
import { invalidArgument } from "./uint64.ts";

/** A token is a stream's generation behind a mark of the subscriber that it belongs to. */
const MARK_BYTES = 8;
const TOKEN_BYTES = MARK_BYTES + 8;

/** Names one stream of a durable subscriber to Acknowledge. */
export function streamToken(subscriber: string, generation: number): Uint8Array {
  const token = Buffer.alloc(TOKEN_BYTES);
  token.set(markOf(subscriber));
  token.writeBigUInt64BE(BigInt(generation), MARK_BYTES);
  return token;
}

/** The stream's generation. Throws INVALID_ARGUMENT for what is no token of that subscriber. */
export function generationOf(token: Uint8Array, subscriber: string): number {
  const bytes = Buffer.from(token);
  if (bytes.length !== TOKEN_BYTES || !bytes.subarray(0, MARK_BYTES).equals(markOf(subscriber))) {
    throw invalidArgument("stream_token", `must be that of a stream of "${subscriber}"`);
  }
  const generation = Number(bytes.readBigUInt64BE(MARK_BYTES));
  if (generation < 1 || generation > MAX_INDEX) throw invalidArgument("stream_token", "must be as it was given");
  return generation;
}

function markOf(subscriber: string): Buffer {
  return createHash("sha256").update(subscriber).digest().subarray(0, MARK_BYTES);
}
