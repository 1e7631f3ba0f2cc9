import { Failure } from "../failure.ts";
import type { Raft } from "../raft/raft.ts";
import { SessionsEncoder } from "../session/checkpoint.ts";
import type { SnapshotRecord, Storage } from "../storage/storage.ts";
import { LogTables } from "./log-tables.ts";
import type { NodeOptions } from "./options.ts";
import { decodeOwnState, encodeOwnState } from "./own-state.ts";
import { SessionFollower } from "./session-follower.ts";

/**
 * Makes the sidecar's own part of a snapshot: its state exactly as of the snapshot's entry, which may lie far behind by the
 * time the application has put its part. So it is made from the snapshot before, and the log after that.
 */
export class OwnStateBuilder {
  readonly #voters: readonly string[];
  readonly #entriesPerTurn: number;
  readonly #upTo: number;
  readonly #logId: () => Uint8Array;
  readonly #onProgress: () => void;
  readonly #follower: SessionFollower;
  #encoder: SessionsEncoder | undefined;

  /** `onProgress` is called when there is more to do. */
  constructor(
    raft: Raft,
    storage: Storage,
    options: NodeOptions,
    before: SnapshotRecord | undefined,
    upTo: number,
    hooks: { readonly logId: () => Uint8Array; readonly onProgress: () => void },
  ) {
    this.#voters = options.initialMembers.map(({ id }) => id);
    this.#entriesPerTurn = options.sessionEncodeEntries;
    this.#upTo = upTo;
    this.#logId = hooks.logId;
    this.#onProgress = hooks.onProgress;
    const tables = LogTables.of(
      before === undefined ? undefined : decodeOwnState(before.ownState),
      options.sessionLimits,
    );
    this.#follower = new SessionFollower(raft, storage, tables, before?.last.index ?? 0, {
      onProgress: this.#onProgress,
    });
  }

  /** Goes on, as far as one turn may. The state once it is whole; a Failure when the log has moved on without it. */
  advance(): Uint8Array | Failure | undefined {
    if (!this.#follower.follow(this.#upTo)) {
      return new Failure("SNAPSHOT_OUTDATED", "another snapshot, of a later entry, has replaced this node's log");
    }
    const logId = this.#logId();
    if (this.#follower.index < this.#upTo || logId.length === 0) return undefined;
    this.#encoder ??= new SessionsEncoder(this.#follower.tables.sessions);
    const sessions = this.#encoder.write(this.#entriesPerTurn);
    if (sessions === undefined) {
      this.#onProgress();
      return undefined;
    }
    return encodeOwnState({ logId, voters: this.#voters, sessions, cursors: this.#follower.tables.cursors.encode() });
  }
}
