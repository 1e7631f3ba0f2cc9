import { readFileSync } from "node:fs";

/** Kept for what a node can't do without: the other members, the HTTP listener, its disk, its own dials. */
const RESERVED_FILES = 640;

/** Applications get these in any case. */
const MIN_CONNECTIONS = 16;

/** How many files this process may have open, sockets included; undefined where the system doesn't say. */
export function maxOpenFiles(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    // Not Linux.
    return undefined;
  }
}

/** How many of `wanted` connections applications may have, so that the node doesn't run out of files for the rest. */
export function connectionsWithin(wanted: number, openFiles: number | undefined): number {
  if (openFiles === undefined) return wanted;
  return Math.min(wanted, Math.max(MIN_CONNECTIONS, openFiles - RESERVED_FILES));
}
