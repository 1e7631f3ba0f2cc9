import type { SnapshotFiles, SnapshotReader, SnapshotWriter } from "./snapshot-files.ts";
import type { SnapshotRecord } from "./storage.ts";

/** How many snapshots are kept. While the newest is read by those who need one, the application may put the next. */
const KEPT = 2;

/** Writes the rows that tell which snapshots there are: one more, and no more those up to an index. */
export type SaveSnapshot = (snapshot: SnapshotRecord, dropUpTo: number, done: () => void) => void;

/** The snapshots of a data directory: their files, and the rows by which they count. */
export class SnapshotStore {
  readonly #files: SnapshotFiles;
  readonly #save: SaveSnapshot;
  /** Oldest first. */
  #snapshots: readonly SnapshotRecord[];

  constructor(snapshots: readonly SnapshotRecord[], files: SnapshotFiles, save: SaveSnapshot) {
    this.#snapshots = snapshots;
    this.#files = files;
    this.#save = save;
  }

  get all(): readonly SnapshotRecord[] {
    return this.#snapshots;
  }

  get latest(): SnapshotRecord | undefined {
    return this.#snapshots.at(-1);
  }

  /** A place for the next one. */
  create(): Promise<SnapshotWriter> {
    return this.#files.create();
  }

  /** Makes what was written the newest snapshot, durably, and removes the oldest. One at a time. */
  async add(writer: SnapshotWriter, snapshot: SnapshotRecord): Promise<void> {
    await writer.finish(snapshot);
    const snapshots = [...this.#snapshots, snapshot];
    const dropped = snapshots.splice(0, snapshots.length - KEPT);
    await new Promise<void>((resolve) => this.#save(snapshot, dropped.at(-1)?.last.index ?? 0, resolve));
    this.#snapshots = snapshots;
    // What can't be removed is swept away by the next start.
    for (const old of dropped) await this.#files.remove(old).catch(() => {});
  }

  /** The newest snapshot in one of the formats; in any when none is given. */
  find(formats: readonly string[]): SnapshotRecord | undefined {
    return this.#snapshots.findLast(({ format }) => formats.length === 0 || formats.includes(format));
  }

  read(snapshot: SnapshotRecord): Promise<SnapshotReader> {
    return this.#files.read(snapshot);
  }
}
