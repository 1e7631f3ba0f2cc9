import { statSync } from "node:fs";
import { StorageError } from "./error.ts";

/**
 * Throws a StorageError once a file that a process has open is not found at its name any more. The process could go on
 * with what it has open: what it acknowledged from then on would be in files that no later start finds.
 */
export class OpenFiles {
  /** By name. */
  readonly #inodes: ReadonlyMap<string, bigint | undefined>;

  constructor(names: readonly string[]) {
    this.#inodes = new Map(names.map((name) => [name, inodeOf(name)]));
  }

  check(): void {
    for (const [name, inode] of this.#inodes) {
      const found = inodeOf(name);
      if (found !== undefined && found === inode) continue;
      throw new StorageError(
        "damaged",
        `${name} was ${found === undefined ? "deleted or moved" : "replaced"} while this node used it. Bring back the ` +
          "very file, and leave the data directory alone while a node runs.",
      );
    }
  }
}

/** By name and without opening it: closing a database's file would drop the locks that SQLite has on it. */
function inodeOf(name: string): bigint | undefined {
  return statSync(name, { bigint: true, throwIfNoEntry: false })?.ino;
}
