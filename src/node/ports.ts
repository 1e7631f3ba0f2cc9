import type { Clock } from "../clock.ts";
import type { Storage } from "../storage/storage.ts";
import type { DiskStatus, StateEvent } from "./api.ts";

/** What a node is built on. All of it is simulated in the simulation. */
export interface NodePorts {
  readonly clock: Clock;
  /** An integer from 0 to below `bound`. */
  readonly random: (bound: number) => number;
  readonly storage: Storage;
  /** A change of role, term or leader, for the log. */
  readonly onStateEvent: (event: StateEvent) => void;
  /** The disk got low, or is so no more, for the log. */
  readonly onDiskEvent: (status: DiskStatus) => void;
  /** A broken invariant or a failed disk. The node does nothing any more, and the process has to end. */
  readonly onFatal: (error: unknown) => void;
}
