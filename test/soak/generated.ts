import { createCipheriv, createHash } from "node:crypto";
import type { SnapshotSource } from "../../src/grpc/snapshot-client.ts";

const CHUNK_BYTES = 1024 * 1024;

/** The same bytes each time, as many as asked for, without holding more than a chunk of them. */
export function* generatedChunks(bytes: number, seed = 0): Generator<Buffer> {
  const key = createHash("sha256").update(`state ${seed}`).digest();
  const cipher = createCipheriv("aes-256-ctr", key, Buffer.alloc(16));
  const zeros = Buffer.alloc(CHUNK_BYTES);
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) {
    yield cipher.update(left < CHUNK_BYTES ? zeros.subarray(0, left) : zeros);
  }
}

/** For PutSnapshot; `onChunk` is told how many bytes each has. */
export function sourceOf(chunks: Iterable<Uint8Array>, onChunk: (bytes: number) => void = () => {}): SnapshotSource {
  const hash = createHash("sha256");
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for (const chunk of chunks) {
      hash.update(chunk);
      onChunk(chunk.length);
      yield chunk;
    }
  }
  return { chunks: hashed(), sha256: () => hash.digest() };
}
