import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const BLOCK_BYTES = 512;
const KIB = 1_024;

/** What the files in a folder take on the disk, as du has it. What is removed meanwhile takes nothing. */
export function diskBytes(folder: string): number {
  let bytes = 0;
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
      if (entry.isFile()) bytes += blocksOf(join(entry.parentPath, entry.name)) * BLOCK_BYTES;
    }
  } catch {
    return bytes;
  }
  return bytes;
}

/** Resident memory of a process; 0 when it has ended. */
export function residentBytes(pid: number): number {
  return statusBytes(pid, "VmRSS");
}

/** The most that was ever resident. */
export function peakResidentBytes(pid: number): number {
  return statusBytes(pid, "VmHWM");
}

function statusBytes(pid: number, field: string): number {
  try {
    const line = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return Number(line?.[1] ?? 0) * KIB;
  } catch {
    return 0;
  }
}

function blocksOf(path: string): number {
  try {
    return lstatSync(path).blocks;
  } catch {
    return 0;
  }
}
