import type { EntryId, HardState } from "../raft/types.ts";
import type { ErrorRecord } from "./error.ts";
import type { DirectoryOwner } from "./identity.ts";
import type { DiskUsage, MemberRecord, ReadRange, Recovered, SessionCheckpoint, SnapshotReset } from "./storage.ts";

/**
 * What the main thread and the two workers say to each other. Each worker answers in the order it was asked, and ends
 * on `Close`; any reply can be `Failed` instead. `Measured` answers nothing and may come between replies.
 */

/** Given to a worker as its `workerData`. */
export interface WriterSetup {
  readonly directory: string;
  readonly file: string;
  readonly owner: DirectoryOwner;
  /** As in `OpenOptions`. */
  readonly minFreeBytes: number | undefined;
}

export interface ReaderSetup {
  readonly file: string;
}

export type WriterRequest =
  | {
      readonly kind: "write";
      readonly hardState: HardState | undefined;
      readonly reset: SnapshotReset | undefined;
      readonly truncateFrom: number | undefined;
      /** Packed, transferred; undefined for none. */
      readonly frames: ArrayBuffer | undefined;
    }
  | { readonly kind: "saveMember"; readonly member: MemberRecord }
  | { readonly kind: "saveBootstrapped" }
  | { readonly kind: "saveSessions"; readonly checkpoint: SessionCheckpoint }
  | ({ readonly kind: "saveSnapshot" } & SnapshotReset)
  | { readonly kind: "compact"; readonly base: EntryId };

export type WriterReply =
  /** The first reply. */
  | { readonly kind: "opened"; readonly recovered: Recovered; readonly usage: DiskUsage }
  /** One more request is on the disk. `commits` counts transactions since the opening: one for each request. */
  | { readonly kind: "done"; readonly commits: number };

export interface ReaderRequest {
  readonly kind: "read";
  readonly range: ReadRange;
}

export type ReaderReply =
  | { readonly kind: "opened" }
  /** Packed, transferred. */
  | { readonly kind: "frames"; readonly frames: ArrayBuffer };

/** How full the disk is by now. */
export interface Measured {
  readonly kind: "measured";
  readonly usage: DiskUsage;
}

/** Ends the thread, after the requests before it. */
export interface Close {
  readonly kind: "close";
}

/** Final: the worker answers nothing after it. */
export interface Failed {
  readonly kind: "failed";
  readonly error: ErrorRecord;
}
