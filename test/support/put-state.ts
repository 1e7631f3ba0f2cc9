import { createHash } from "node:crypto";
import { SidecarClient } from "../../src/grpc/client.ts";
import type { NewSnapshot, SnapshotView } from "../../src/grpc/snapshot-client.ts";

const CHUNK_BYTES = 1024 * 1024;

/** Puts a state that is in memory. */
export async function putState(address: string, snapshot: NewSnapshot, state: Buffer): Promise<SnapshotView> {
  const client = new SidecarClient(address);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < state.length; at += CHUNK_BYTES) yield state.subarray(at, at + CHUNK_BYTES);
  }
  try {
    const sha256 = (): Uint8Array => createHash("sha256").update(state).digest();
    return await client.putSnapshot(snapshot, { chunks: chunks(), sha256 });
  } finally {
    client.close();
  }
}
