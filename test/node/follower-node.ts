import { assert } from "../../src/assert.ts";
import { encodeFrame } from "../../src/frame/codec.ts";
import type { InstallEvent } from "../../src/node/installs.ts";
import { Node } from "../../src/node/node.ts";
import type { NodeOptions } from "../../src/node/options.ts";
import { encodeOwnState, type OwnState } from "../../src/node/own-state.ts";
import type { RetentionStatus } from "../../src/node/retention.ts";
import type { ArrivedSnapshot } from "../../src/node/snapshots.ts";
import type { FetchedSnapshot } from "../../src/node/transport.ts";
import { sliceFrame } from "../../src/raft/frame.ts";
import type { AppendEntries } from "../../src/raft/message.ts";
import { type EntryId, EntryType, type Frame, ZERO_ID } from "../../src/raft/types.ts";
import { CursorTable } from "../../src/session/cursor-table.ts";
import { SessionTable } from "../../src/session/session-table.ts";
import type { Recovered, SnapshotRecord } from "../../src/storage/storage.ts";
import { encodeSessions } from "../session/support.ts";
import { appendEntries } from "../support/core.ts";
import { HeldStorage, KeptTransport, ManualClock, nodeOptions } from "./support.ts";

export const LOG_ID = new Uint8Array(16).fill(7);

const NO_SESSIONS = encodeSessions(new SessionTable());
const NO_CURSORS = new CursorTable().encode();

/** The sidecar's part of a snapshot of this cluster, without sessions unless told otherwise. */
export function ownStateOf(fields: Partial<OwnState> = {}): Uint8Array {
  return encodeOwnState({
    logId: LOG_ID,
    voters: ["a", "b", "c"],
    sessions: NO_SESSIONS,
    cursors: NO_CURSORS,
    ...fields,
  });
}

/** What stands in a database of a snapshot. */
export function recordOf(last: EntryId, ownState = ownStateOf()): SnapshotRecord {
  return { last, format: "f", size: 1, sha256: new Uint8Array(32), ownState };
}

/** A snapshot's bytes, come to a node. Its file is durable once the test calls what `keeps` holds. */
export interface Kept<T extends ArrivedSnapshot> {
  readonly snapshot: T;
  readonly keeps: ((failure?: Error | undefined) => void)[];
}

export function putOf(last: EntryId): Kept<ArrivedSnapshot> {
  const keeps: Kept<ArrivedSnapshot>["keeps"] = [];
  return {
    snapshot: { ...recordOf(last), ownState: undefined, keep: (done) => void keeps.push((failure) => done(failure)) },
    keeps,
  };
}

export function fetchedOf(last: EntryId, ownState = ownStateOf()): Kept<FetchedSnapshot> & { discards: number } {
  const keeps: Kept<FetchedSnapshot>["keeps"] = [];
  const discard = (): void => void result.discards++;
  const keep: FetchedSnapshot["keep"] = (done) => void keeps.push((failure) => done(failure));
  const snapshot = { ...recordOf(last, ownState), keep, discard };
  const result = { snapshot, keeps, discards: 0 };
  return result;
}

/** Sequence `i` of client "c" for the command at index `i`. */
const idsFrom = (first: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({ clientId: "c", sequence: first + i }));

/** The log's identity, and commands of term 1 at 2 to `last`, each with its index as its sequence. */
function logTo(last: number): Frame[] {
  const start = encodeFrame({ index: 1, term: 1 }, EntryType.logId, [LOG_ID]);
  return last < 2 ? [start] : [start, namedCommands(2, last - 1, 1)];
}

export function namedCommands(first: number, count: number, term: number): Frame {
  const payloads = Array.from({ length: count }, () => new Uint8Array(1));
  return encodeFrame({ index: first, term }, EntryType.command, payloads, idsFrom(first, count));
}

/** A disk that holds `logTo(last)`. */
export function diskTo(last: number): Partial<Recovered> {
  return { hardState: { currentTerm: 1, votedFor: "" }, lastIndex: last, termStarts: [{ index: 1, term: 1 }] };
}

/** Node a of three, whose leader is b in term 1, unless the test says otherwise. */
export class FollowerNode {
  readonly clock = new ManualClock();
  readonly storage: HeldStorage;
  readonly transport = new KeptTransport();
  readonly node: Node;
  readonly fatal: unknown[] = [];
  readonly installs: InstallEvent[] = [];
  readonly retentionEvents: RetentionStatus[] = [];
  /** What a disk reads is of this. */
  readonly entries: Frame[] = [];
  #last: EntryId = ZERO_ID;
  #sequence = 0;

  constructor(recovered: Partial<Recovered> = {}, options: Partial<NodeOptions> = {}) {
    this.storage = new HeldStorage(recovered);
    this.node = new Node(nodeOptions(options), {
      clock: this.clock,
      random: () => 0,
      storage: this.storage,
      onStateEvent: () => {},
      onInstall: (event) => this.installs.push(event),
      onDiskEvent: () => {},
      onRetentionEvent: (status) => this.retentionEvents.push(status),
      onFatal: (error) => this.fatal.push(error),
    });
    this.node.start(this.transport);
    this.clock.settle();
  }

  /** What the node's installs came to: the reason of a failure, or "taken". */
  get outcomes(): string[] {
    return this.installs.map(({ failure }) =>
      failure === undefined ? "taken" : "reason" in failure ? String(failure.reason) : failure.message,
    );
  }

  /** What the leader sends. Returns what is wrong with it. */
  receive(fields: Partial<AppendEntries>): string | undefined {
    const fault = this.node.onMessage(appendEntries({ sequence: ++this.#sequence, ...fields }));
    this.clock.settle();
    return fault;
  }

  /** A heartbeat that offers a snapshot. */
  offer(last: EntryId, isNeeded: boolean, fields: Partial<AppendEntries> = {}): string | undefined {
    return this.receive({ prev: this.#last, offer: { last, isNeeded }, ...fields });
  }

  /** The leader has these entries, which the disk does not get yet, and has committed them. */
  append(frames: readonly Frame[], prev = this.#last): void {
    const last = frames.at(-1);
    assert(last !== undefined, "there are entries");
    this.#last = { index: last.last, term: last.term };
    this.receive({ term: Math.max(1, last.term), prev, frames, leaderCommit: last.last });
  }

  /** The log to `last`, committed and applied. */
  follow(last: number): void {
    const frames = logTo(last);
    this.entries.push(...frames);
    this.append(frames);
    this.settle();
  }

  /** The disk held the log to `last` already; the leader says that all of it is committed. */
  confirm(last: number): void {
    this.entries.push(...logTo(last));
    this.#last = { index: last, term: 1 };
    this.receive({ prev: this.#last, leaderCommit: last });
    this.clock.settle();
  }

  /** Puts the application's state as of an entry. Settled, unless it waits for something else than the disk. */
  put(index: number): (SnapshotRecord | Error)[] {
    const results: (SnapshotRecord | Error)[] = [];
    const { snapshots } = this.node;
    const { snapshot } = putOf(snapshots.check(index, 0));
    snapshots.add({ ...snapshot, keep: (done) => done(undefined) }, (result) => void results.push(result));
    this.settle();
    return results;
  }

  /** The disk reads what it was asked for. */
  answerReads(): void {
    this.clock.settle();
    for (const { range, done } of this.storage.unanswered.splice(0)) {
      const overlapping = this.entries.filter(({ first, last }) => last >= range.first && first <= range.last);
      done(
        overlapping.map((frame) =>
          sliceFrame(frame, Math.max(frame.first, range.first), Math.min(frame.last, range.last)),
        ),
      );
    }
    this.clock.settle();
  }

  /** Lets the disk and the node come to rest. */
  settle(): void {
    for (let i = 0; i < 8; i++) {
      this.clock.settle();
      this.answerReads();
      this.storage.sync();
    }
    this.clock.settle();
  }
}
