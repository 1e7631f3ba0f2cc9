import type { EntryId, NodeId } from "../raft/types.ts";
import { decodeSessions } from "../session/checkpoint.ts";
import { decodeCursors } from "../session/cursor-table.ts";
import { decodeOwnState } from "./own-state.ts";

const LOG_ID_BYTES = 16;

/** What a snapshot has to go with. */
export interface OwnLog {
  /** Empty while it isn't known. */
  readonly logId: Uint8Array;
  readonly voters: readonly NodeId[];
}

/**
 * Why this node can't go on from another member's snapshot of everything to `last`; undefined when it can. All of it is
 * decoded here, once: what can't be read would end the node when it is needed, and again at every start.
 */
export function faultOfOwnState(ownState: Uint8Array, last: EntryId, { logId, voters }: OwnLog): string | undefined {
  try {
    const found = decodeOwnState(ownState);
    if (found.logId.length !== LOG_ID_BYTES) return `its log's identity has ${found.logId.length} bytes`;
    if (logId.length > 0 && Buffer.compare(found.logId, logId) !== 0) return "it is of another log";
    if (found.voters.toSorted().join() !== voters.toSorted().join()) {
      return `it is of the voters ${found.voters.join(", ")}`;
    }
    for (const { lastIndex } of decodeSessions(found.sessions).sessions()) {
      if (lastIndex > last.index) return `its sessions go on to entry ${lastIndex}`;
    }
    for (const { name, cursor, generation } of decodeCursors(found.cursors).list()) {
      if (Math.max(cursor, generation) > last.index) return `its subscriber "${name}" is beyond its own entry`;
    }
    return undefined;
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}
