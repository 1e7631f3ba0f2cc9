import { assert } from "../../src/assert.ts";
import { decodeEntries } from "../../src/frame/codec.ts";
import { LogTables } from "../../src/node/log-tables.ts";
import { decodeLogState, decodeOwnState, type LogState } from "../../src/node/own-state.ts";
import type { Frame } from "../../src/raft/types.ts";
import type { SessionLimits } from "../../src/session/session-table.ts";
import type { SessionCheckpoint, SnapshotRecord } from "../../src/storage/storage.ts";
import { encodeSessions } from "../session/support.ts";

/**
 * The tables that the committed log makes. What any node checkpoints, and the sidecar's part of each snapshot, is held against
 * them: they are a function of the log, through restarts, truncations, checkpoints and installs (PITFALL 44).
 */
export class SessionModel {
  readonly #limits: SessionLimits;
  readonly #entryAt: (index: number) => Frame | undefined;
  /** States that were compared, by index: a later one starts at the next before it. */
  readonly #known = new Map<number, LogState>();

  constructor(limits: SessionLimits, entryAt: (index: number) => Frame | undefined) {
    this.#limits = limits;
    this.#entryAt = entryAt;
    this.#known.set(0, encoded(LogTables.of(undefined, limits)));
  }

  onCheckpoint({ index, bytes }: SessionCheckpoint): void {
    this.#compare(index, decodeLogState(bytes));
  }

  /** The sidecar's part of a snapshot is its state exactly as of the snapshot's entry (PITFALL 36). */
  onSnapshot({ last, ownState }: SnapshotRecord): void {
    const { logId, ...state } = decodeOwnState(ownState);
    this.#compare(last.index, state);
    const first = this.#entryAt(1);
    const entry = first === undefined ? undefined : decodeEntries(first.bytes)[0];
    assert(entry !== undefined && Buffer.compare(entry.command, logId) === 0, "a snapshot has the log's identity");
  }

  #compare(index: number, state: LogState): void {
    const expected = this.#stateAt(index);
    // Made while the table went on changing, it has its sessions in another order.
    const given = encoded(LogTables.of(state, this.#limits));
    assert(Buffer.compare(expected.sessions, given.sessions) === 0, `the state at ${index} has not the log's sessions`);
    assert(Buffer.compare(expected.cursors, given.cursors) === 0, `the state at ${index} has not the log's cursors`);
  }

  #stateAt(index: number): LogState {
    const known = this.#known.get(index);
    if (known !== undefined) return known;
    const from = Math.max(...[...this.#known.keys()].filter((each) => each < index));
    const tables = LogTables.of(this.#known.get(from), this.#limits);
    for (let i = from + 1; i <= index; i++) {
      const frame = this.#entryAt(i);
      assert(frame !== undefined, `a state holds entry ${i}, which no service was given`);
      tables.take(frame, {});
    }
    const state = encoded(tables);
    this.#known.set(index, state);
    return state;
  }
}

function encoded({ sessions, cursors }: LogTables): LogState {
  return { sessions: encodeSessions(sessions), cursors: cursors.encode() };
}
