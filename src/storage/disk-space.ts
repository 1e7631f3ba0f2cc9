import { type StatsFs, statfsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import type { Database } from "better-sqlite3";
import type { DiskUsage } from "./storage.ts";

/** What is kept free for the log: elections, acknowledgements and compaction must go on when nothing else may. */
const RESERVE_BYTES = 256 * 1024 * 1024;
const RESERVE_SHARE = 0.05;

/** Of a file system, in bytes. */
type Space = Pick<DiskUsage, "freeBytes" | "totalBytes" | "limitBytes">;

/**
 * What may still be written in files below a directory until its file system is low on space: a negative number when it is.
 * The database's unused pages don't count: no other file can have them. `minFreeBytes` as in `OpenOptions`.
 */
export async function bytesUntilLow(directory: string, minFreeBytes: number | undefined): Promise<number> {
  const { freeBytes, limitBytes } = spaceOf(await statfs(directory), minFreeBytes);
  return freeBytes - limitBytes;
}

/** Measures how full the disk is, on the thread with the connection that writes. */
export class DiskGauge {
  readonly #directory: string;
  readonly #db: Database;
  readonly #minFreeBytes: number | undefined;
  readonly #pageBytes: number;

  constructor(directory: string, db: Database, minFreeBytes: number | undefined) {
    this.#directory = directory;
    this.#db = db;
    this.#minFreeBytes = minFreeBytes;
    this.#pageBytes = this.#pragma("page_size");
  }

  /**
   * Some 10 µs. Rows that are deleted return nothing to the file system: their pages stay in the database's file and are
   * written again, so they count as free (PITFALL 61).
   */
  measure(): DiskUsage {
    const unusedBytes = this.#pragma("freelist_count") * this.#pageBytes;
    const space = spaceOf(statfsSync(this.#directory), this.#minFreeBytes);
    return {
      ...space,
      freeBytes: exact(space.freeBytes + unusedBytes),
      usedBytes: this.#pragma("page_count") * this.#pageBytes - unusedBytes,
    };
  }

  #pragma(name: "page_size" | "page_count" | "freelist_count"): number {
    return Number(this.#db.pragma(name, { simple: true }));
  }
}

/** The one rule of when a disk is low. */
function spaceOf({ bavail, blocks, bsize }: StatsFs, minFreeBytes: number | undefined): Space {
  const totalBytes = exact(blocks * bsize);
  const limitBytes = minFreeBytes ?? Math.min(RESERVE_BYTES, Math.floor(totalBytes * RESERVE_SHARE));
  return { freeBytes: exact(bavail * bsize), totalBytes, limitBytes };
}

/** File systems without an end of their own report more than a number can tell. */
function exact(bytes: number): number {
  return Math.min(bytes, Number.MAX_SAFE_INTEGER);
}
