import { SessionsEncoder } from "../session/checkpoint.ts";
import type { Storage } from "../storage/storage.ts";
import type { LogTables } from "./log-tables.ts";
import type { NodeOptions } from "./options.ts";
import { encodeLogState } from "./own-state.ts";

/** For the sake of bytes alone, a checkpoint waits for so many times the last one's own: a large one isn't made all the time. */
const LOG_FACTOR = 16;

/** When the tables are written to the disk, so that a start reads no more of the log than what came after. */
export class SessionCheckpoints {
  readonly #tables: LogTables;
  readonly #storage: Storage;
  readonly #everyEntries: number;
  readonly #minBytes: number;
  /** Each node has its turn at other indexes, so that a commit doesn't wait for a quorum of busy disks. */
  readonly #phase: number;
  readonly #entriesPerTurn: number;
  /** Of the last checkpoint: the entry that it is as of, and its size. */
  #index: number;
  #bytes: number;
  /** Of the log, since that entry. */
  #bytesSince: number;
  /** A checkpoint in the making. */
  #encoder: SessionsEncoder | undefined;
  #cursors: Uint8Array = new Uint8Array(0);
  #isSaving = false;

  /** `tables` are as of `index`, and a checkpoint of them would have so many bytes, or none was ever made. */
  constructor(tables: LogTables, index: number, bytes: number, storage: Storage, options: NodeOptions) {
    this.#tables = tables;
    this.#storage = storage;
    this.#everyEntries = options.sessionCheckpointEntries;
    this.#minBytes = options.sessionCheckpointBytes;
    this.#entriesPerTurn = options.sessionEncodeEntries;
    const members = options.initialMembers.map(({ id }) => id).toSorted();
    const share = members.indexOf(options.id) / members.length;
    this.#phase = Math.floor(share * this.#everyEntries);
    this.#bytesSince = Math.floor(share * this.#minBytes);
    this.#index = index;
    this.#bytes = bytes;
  }

  /** The table is no longer the log's. */
  stop(): void {
    this.#encoder = undefined;
  }

  /** The table took in so many bytes of the log, up to `index`. */
  onTaken(index: number, bytes: number): void {
    this.#bytesSince += bytes;
    if (this.#encoder !== undefined || this.#isSaving || !this.#isDue(index)) return;
    this.#encoder = new SessionsEncoder(this.#tables.sessions);
    this.#cursors = this.#tables.cursors.encode();
    this.#index = index;
    this.#bytesSince = 0;
  }

  /** Goes on with a checkpoint, as far as one turn may. Whether there is more to do. */
  advance(): boolean {
    const sessions = this.#encoder?.write(this.#entriesPerTurn);
    if (sessions === undefined) return this.#encoder !== undefined;
    this.#encoder = undefined;
    const bytes = encodeLogState({ sessions, cursors: this.#cursors });
    this.#bytes = bytes.length;
    this.#isSaving = true;
    this.#storage.saveSessions({ index: this.#index, bytes }, () => {
      this.#isSaving = false;
    });
    return false;
  }

  #isDue(index: number): boolean {
    const periodOf = (at: number): number => Math.floor((at + this.#phase) / this.#everyEntries);
    const hasManyBytes = this.#bytesSince >= this.#minBytes + LOG_FACTOR * this.#bytes;
    return hasManyBytes || periodOf(index) > periodOf(this.#index);
  }
}
