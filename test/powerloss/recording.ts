import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Disk } from "./disk.ts";
import { imageOf, type Random } from "./image.ts";
import { type JournalRecord, parseJournal } from "./journal.ts";
import type { Recorder } from "./recorder.ts";

/** All that was recorded of one workload. */
export interface Recording {
  readonly rootPath: string;
  readonly rootInode: number;
  readonly records: readonly JournalRecord[];
}

/**
 * What was recorded so far, of processes that have ended. Throws unless it explains the very files that they left, bytes
 * and names: then no call was missed, nor a write through mapped memory.
 */
export function recordingOf(recorder: Recorder): Recording {
  const { root } = recorder;
  const recording = { rootPath: root, rootInode: statSync(root).ino, records: parseJournal(recorder.journal()) };
  const disk = newDisk(recording);
  for (const { operation } of recording.records) disk.apply(operation);
  const explained = imageOf(disk, "everything", () => 0);
  const found = new Set<string>([""]);
  for (const path of readdirSync(root, { recursive: true, encoding: "utf8" })) {
    if (!path.endsWith("-shm")) found.add(path);
  }
  for (const path of new Set([...found, ...explained.keys()])) {
    if (!found.has(path) || !explained.has(path)) throw new Error(`the journal does not explain the name ${path}`);
    const bytes = explained.get(path);
    if (bytes !== undefined && !readFileSync(join(root, path)).equals(bytes)) {
      throw new Error(`the journal does not explain the bytes of ${path}`);
    }
  }
  return recording;
}

/** Before the first record. */
export function newDisk({ rootPath, rootInode }: Recording): Disk {
  return new Disk(rootPath, rootInode);
}

/**
 * Moments to cut the power: how many records are before each, ascending. Most are while a sync is under way, when the most
 * is at stake, the others anywhere up to the next sync. Each file's syncs have the same share: those of the WAL would be nearly all.
 */
export function cutPoints(recording: Recording, count: number, random: Random): number[] {
  const syncs = [...syncsByName(recording).values()];
  const cuts = new Set<number>();
  for (let turn = 0; cuts.size < count && turn < count * 10; turn++) {
    const group = syncs[turn % syncs.length] ?? [];
    const at = group[random(group.length)] ?? 0;
    const next = nextSync(recording, at);
    cuts.add(random(2) === 0 ? at : at + random(next - at) + 1);
  }
  return [...cuts].sort((a, b) => a - b);
}

/** How many syncs each file and directory has had, by name. */
export function syncCounts(recording: Recording): Map<string, number> {
  return new Map([...syncsByName(recording)].map(([name, at]) => [name, at.length]));
}

/** Where the syncs are, by the name of what is synced; of the files with numbers, such as unfinished snapshots, all have one. */
function syncsByName(recording: Recording): Map<string, number[]> {
  const disk = newDisk(recording);
  const byName = new Map<string, number[]>();
  for (const [at, { operation }] of recording.records.entries()) {
    if (operation.kind === "sync") {
      const name = disk.nameOf(operation.inode).replace(/^\d+/, "N");
      const found = byName.get(name);
      if (found === undefined) byName.set(name, [at]);
      else found.push(at);
    }
    disk.apply(operation);
  }
  return byName;
}

function nextSync({ records }: Recording, after: number): number {
  const found = records.findIndex(({ operation }, at) => at > after && operation.kind === "sync");
  return found === -1 ? records.length : found;
}
