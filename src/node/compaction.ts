import type { Raft } from "../raft/raft.ts";
import type { EntryId } from "../raft/types.ts";
import type { NodeOptions } from "./options.ts";
import type { Sessions } from "./sessions.ts";
import type { Snapshots } from "./snapshots.ts";

/** A follower that is in contact, and lags, is waited for up to so many times the entries that are kept anyway. */
const LAG_FACTOR = 10;

/** How far the log may be cut off. Without a snapshot it never is. */
export class Compaction {
  readonly #raft: Raft;
  readonly #snapshots: Snapshots;
  readonly #sessions: Pick<Sessions, "index" | "cursors">;
  readonly #options: NodeOptions;
  /** To where the log was found at the start: what of it is committed says who needs what. */
  readonly #foundIndex: number;

  constructor(raft: Raft, snapshots: Snapshots, sessions: Pick<Sessions, "index" | "cursors">, options: NodeOptions) {
    this.#raft = raft;
    this.#snapshots = snapshots;
    this.#sessions = sessions;
    this.#options = options;
    this.#foundIndex = raft.log.lastIndex;
  }

  /** The entry after which the log shall begin, with no more than so many kept before the snapshot; undefined for as it is. */
  target(asked?: number): EntryId | undefined {
    const keepEntries = asked ?? this.#options.catchUpEntries;
    const { log, snapshot, durability } = this.#raft;
    const furthest = snapshot.index - keepEntries;
    if (furthest <= log.base.index || durability.isResetting) return undefined;
    if (this.#sessions.index < Math.min(this.#foundIndex, log.lastIndex)) return undefined;
    const index = Math.min(
      furthest,
      Math.max(this.#slowestMatch, snapshot.index - LAG_FACTOR * keepEntries),
      this.#snapshots.pinnedIndex,
      this.#sessions.index,
      this.#sessions.cursors.lowest,
    );
    const minEntries = asked === undefined ? this.#options.minCompactedEntries : 1;
    if (index < Math.min(furthest, log.base.index + minEntries)) return undefined;
    const term = log.termAt(index);
    return term === undefined ? undefined : { index, term };
  }

  /** To where every member has the log that is sent entries; Infinity where none is. */
  get #slowestMatch(): number {
    const { role } = this.#raft;
    if (role.kind !== "leader") return Number.POSITIVE_INFINITY;
    const following = [...role.progress.values()].filter(({ mode }) => mode.kind === "replicate");
    return Math.min(...following.map(({ match }) => match));
  }
}
