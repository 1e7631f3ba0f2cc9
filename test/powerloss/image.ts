import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { applyNames, type Change, changed, type Disk, type NameChange } from "./disk.ts";

/** Numbers from 0 to below `bound`, decided by a seed. */
export type Random = (bound: number) => number;

/**
 * What a loss of power leaves of the changes that were not synced.
 * - `everything`: the cache was written back just in time.
 * - `nothing`: none of them.
 * - `prefix`: of each file the first so many, the last one of them torn.
 * - `subset`: each with one chance in two, whatever their order.
 * - `sectors`: each sector of each with one chance in two.
 */
export const FATES = ["everything", "nothing", "prefix", "subset", "sectors"] as const;

export type Fate = (typeof FATES)[number];

/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512;

/** Only for processes that live: SQLite makes it anew, and maps it into memory instead of writing it. */
const INDEX_OF_WAL = /-shm$/;

/** What is found after a loss of power at this moment: the bytes of files by path from the root; undefined for directories. */
export type Image = ReadonlyMap<string, Buffer | undefined>;

export function imageOf(disk: Disk, fate: Fate, random: Random): Image {
  const image = new Map<string, Buffer | undefined>();
  const visit = (inode: number, path: string): void => {
    const node = disk.nodes.get(inode);
    if (node === undefined) throw new Error(`no inode ${inode}`);
    if (node.kind === "file") {
      if (!INDEX_OF_WAL.test(path))
        image.set(path, changed(node.durable, survivingChanges(node.changes, fate, random)));
      return;
    }
    image.set(path, undefined);
    const names = new Map(node.durable);
    applyNames(names, survivingNames(node.changes, fate, random));
    for (const [name, child] of names) visit(child, join(path, name));
  };
  visit(disk.root, "");
  return image;
}

export function writeImage(image: Image, folder: string): void {
  for (const [path, bytes] of image) {
    if (bytes === undefined) mkdirSync(join(folder, path), { recursive: true });
    else writeFileSync(join(folder, path), bytes);
  }
}

function survivingChanges(changes: readonly Change[], fate: Fate, random: Random): Change[] {
  switch (fate) {
    case "everything":
      return [...changes];
    case "nothing":
      return [];
    case "prefix": {
      const count = random(changes.length + 1);
      const last = changes[count];
      return last === undefined ? [...changes] : [...changes.slice(0, count), ...torn(last, inFront(random))];
    }
    case "subset":
      return changes.flatMap((change) => (random(2) === 0 ? [change] : torn(change, () => false, random(2) === 0)));
    case "sectors":
      return changes.flatMap((change) => torn(change, () => random(2) === 0, random(2) === 0));
  }
}

/** The names of a directory are independent of each other; changes of one name are in order. */
function survivingNames(changes: readonly NameChange[], fate: Fate, random: Random): NameChange[] {
  if (fate === "everything") return [...changes];
  if (fate === "nothing") return [];
  return [...Map.groupBy(changes, ({ name }) => name).values()].flatMap((ofOne) =>
    ofOne.slice(0, random(ofOne.length + 1)),
  );
}

/** A truncation, or a write of which only the sectors that `keeps` says. With `isLong` the file gets its length all the same. */
function torn(change: Change, keeps: () => boolean, isLong = false): Change[] {
  if (change.kind === "truncate") return keeps() ? [change] : [];
  const parts: Change[] = [];
  const end = change.at + change.bytes.length;
  for (let at = change.at; at < end; ) {
    const next = Math.min(end, at - (at % SECTOR_BYTES) + SECTOR_BYTES);
    const bytes = change.bytes.subarray(at - change.at, next - change.at);
    if (keeps()) parts.push({ kind: "write", at, bytes });
    at = next;
  }
  if (isLong) parts.push({ kind: "write", at: end, bytes: Buffer.alloc(0) });
  return parts;
}

/** True so many times, and never again. */
function inFront(random: Random): () => boolean {
  let left = random(9);
  return () => left-- > 0;
}
