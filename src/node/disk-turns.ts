import type { Fetch, Input } from "../raft/input.ts";
import type { Raft } from "../raft/raft.ts";
import type { TurnWrite } from "../raft/ready.ts";
import type { Storage } from "../storage/storage.ts";
import type { Snapshots } from "./snapshots.ts";

export interface DiskHooks {
  /** What the disk answers, for the core. */
  readonly input: (input: Input) => void;
  /** The log was replaced by a snapshot, durably; the core is to hear of it. */
  readonly onReset: () => void;
}

/** Gives the disk what a Ready asks of it. */
export class DiskTurns {
  readonly #raft: Raft;
  readonly #storage: Storage;
  readonly #snapshots: Pick<Snapshots, "reset">;
  readonly #hooks: DiskHooks;
  #underWay = 0;

  constructor(raft: Raft, storage: Storage, snapshots: Pick<Snapshots, "reset">, hooks: DiskHooks) {
    this.#raft = raft;
    this.#storage = storage;
    this.#snapshots = snapshots;
    this.#hooks = hooks;
  }

  /** Writes that were begun and aren't done. */
  get underWay(): number {
    return this.#underWay;
  }

  write({ turn, hardState, reset, truncateFrom, frames }: TurnWrite): void {
    this.#underWay++;
    const write = { hardState, reset: reset === undefined ? undefined : this.#snapshots.reset, truncateFrom, frames };
    this.#storage.write(write, () => {
      this.#underWay--;
      if (reset !== undefined) this.#hooks.onReset();
      this.#hooks.input({ kind: "persisted", turn });
    });
  }

  fetch(fetch: Fetch): void {
    const { first, last, maxBytes } = fetch;
    // After a restart a leader may have to read what it doesn't know to be committed: should it be deposed meanwhile, a
    // truncation can overtake the read.
    const isCommitted = last <= this.#raft.commitIndex;
    this.#storage.read({ first, last, maxBytes, isCommitted }, (frames) =>
      this.#hooks.input({ kind: "fetched", fetch, frames }),
    );
  }
}
