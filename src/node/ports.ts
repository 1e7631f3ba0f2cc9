import type { Clock } from "../clock.ts";
import type { Storage } from "../storage/storage.ts";
import type { DiskStatus, StateEvent } from "./api.ts";
import type { InstallEvent } from "./installs.ts";
import type { RetentionStatus } from "./retention.ts";

/** What a node is built on. All of it is simulated in the simulation. */
export interface NodePorts {
  readonly clock: Clock;
  /** An integer from 0 to below `bound`. */
  readonly random: (bound: number) => number;
  readonly storage: Storage;
  /** A change of role, term or leader, for the log. */
  readonly onStateEvent: (event: StateEvent) => void;
  /** What became of another member's snapshot, for the log. */
  readonly onInstall: (event: InstallEvent) => void;
  /** A durable subscriber got near what the log keeps for it, or beyond, or is so no more; for the log. */
  readonly onRetentionEvent: (status: RetentionStatus) => void;
  /** The disk got low, or is so no more, for the log. */
  readonly onDiskEvent: (status: DiskStatus) => void;
  /** A broken invariant or a failed disk. The node does nothing any more, and the process has to end. */
  readonly onFatal: (error: unknown) => void;
}
