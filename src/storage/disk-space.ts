import { statfs } from "node:fs/promises";

/** What is kept free for the log: elections, acknowledgements and compaction must go on when nothing else may. */
const RESERVE_BYTES = 256 * 1024 * 1024;
const RESERVE_SHARE = 0.05;

/** What may still be written below a directory until its file system is low on space: a negative number when it is. */
export async function bytesUntilLow(directory: string): Promise<number> {
  const { bavail, blocks, bsize } = await statfs(directory);
  return bavail * bsize - Math.min(RESERVE_BYTES, blocks * bsize * RESERVE_SHARE);
}
