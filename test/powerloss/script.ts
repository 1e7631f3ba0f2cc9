import { createHash } from "node:crypto";
import type { EntryId, HardState, TermStart } from "../../src/raft/types.ts";
import type {
  DiskWrite,
  MemberRecord,
  SessionCheckpoint,
  SnapshotRecord,
  SnapshotReset,
} from "../../src/storage/storage.ts";
import { bytesOf, commands, LogModel, scriptedWrite, seededRandom, snapshotOf } from "../storage/support.ts";

/** One transaction. Those of a turn follow its write, and leave the same when they are executed again. */
export type Step =
  | { readonly kind: "write"; readonly write: DiskWrite; readonly arrived: SnapshotContents | undefined }
  | { readonly kind: "sessions"; readonly sessions: SessionCheckpoint }
  | { readonly kind: "member"; readonly member: MemberRecord }
  | { readonly kind: "snapshot"; readonly put: SnapshotContents; readonly dropped: readonly SnapshotRecord[] }
  | { readonly kind: "compact"; readonly base: EntryId }
  | { readonly kind: "bootstrapped" };

/** In turns. */
const LARGE_EVERY = 40;
const SESSIONS_EVERY = 7;
const MEMBER_EVERY = 11;
const SNAPSHOT_EVERY = 14;
const COMPACT_EVERY = 5;
const RESET_EVERY = 23;
const BOOTSTRAPPED_AT = 60;

const LARGE_COMMAND_BYTES = 250_000;

/** Snapshots that are kept. */
const KEPT_SNAPSHOTS = 2;

/** What a data directory holds, but for what is its own. */
export interface Contents {
  readonly hardState: HardState;
  readonly base: EntryId;
  readonly termStarts: readonly TermStart[];
  readonly sessions: SessionCheckpoint | undefined;
  readonly members: readonly MemberRecord[];
  readonly bootstrapped: boolean;
  /** Oldest first. */
  readonly snapshots: readonly SnapshotContents[];
  /** What is left of it. */
  readonly log: Buffer;
}

/** A snapshot: its row, and its file. */
export interface SnapshotContents {
  readonly row: SnapshotRecord;
  readonly state: Buffer;
}

/** Equal for equal contents, whatever the classes and the order of the fields that hold them. */
export function digestOf(contents: Contents): string {
  const { hardState, base, termStarts, sessions, members, bootstrapped, snapshots, log } = contents;
  const parts = [
    [hardState.currentTerm, hardState.votedFor, base.index, base.term, bootstrapped],
    termStarts.map(({ index, term }) => [index, term]),
    sessions === undefined ? [] : [sessions.index, hex(sessions.bytes)],
    snapshots.map(({ row, state }) => [row.last.index, row.last.term, hex(row.ownState), hex(sha1(state))]),
    members.map((member) => [member.id, hex(member.incarnation), member.clientAddress, member.peerAddress]),
  ];
  return createHash("sha1").update(JSON.stringify(parts)).update(log).digest("hex");
}

function sha1(bytes: Uint8Array): Uint8Array {
  return createHash("sha1").update(bytes).digest();
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** The steps of so many turns, the same in every run. Turn n (from 1) writes term n. */
export function* script(turns: number): Generator<Step[]> {
  const log = new LogModel();
  let committed = 0;
  let kept: readonly SnapshotRecord[] = [];
  const add = (snapshot: SnapshotRecord): SnapshotReset => {
    const dropped = kept.slice(0, Math.max(0, kept.length + 1 - KEPT_SNAPSHOTS));
    kept = [...kept, snapshot].slice(-KEPT_SNAPSHOTS);
    return { snapshot, dropped };
  };
  for (let turn = 1; turn <= turns; turn++) {
    const random = seededRandom(-turn);
    const arrived = turn % RESET_EVERY === 0 ? arrivedAt(turn, log, committed) : undefined;
    const write = arrived === undefined ? writeOf(turn, log, committed) : resetOf(turn, add(arrived.row));
    log.apply(write);
    committed = Math.max(committed, log.base.index);
    const steps: Step[] = [{ kind: "write", write, arrived }];
    if (turn % SESSIONS_EVERY === 0) {
      // What the sessions rest on is committed, and never truncated.
      committed = log.lastIndex;
      steps.push({ kind: "sessions", sessions: { index: committed, bytes: Buffer.alloc(turn * 10, turn) } });
    }
    const covered = kept.at(-1)?.last.index ?? 0;
    if (turn % SNAPSHOT_EVERY === 0 && committed > covered) {
      const put = contentsOf(turn, log.idAt(committed));
      steps.push({ kind: "snapshot", put, dropped: add(put.row).dropped });
    }
    if (turn % COMPACT_EVERY === 0 && covered > log.base.index) {
      steps.push({ kind: "compact", base: log.compact(log.base.index + 1 + random(covered - log.base.index)) });
    }
    if (turn % MEMBER_EVERY === 0) steps.push({ kind: "member", member: memberOf(turn) });
    if (turn === BOOTSTRAPPED_AT) steps.push({ kind: "bootstrapped" });
    yield steps;
  }
}

/** What so many turns leave: the digest after each step, and how many steps there are up to each turn's write. */
export class Expected {
  /** Of an empty directory, and after each step. */
  readonly digests: string[];
  /** At n how many steps are done with the write of turn n. */
  readonly #writeSteps: number[] = [0];

  constructor(turns: number) {
    const log = new LogModel();
    const members = new Map<string, MemberRecord>();
    let sessions: SessionCheckpoint | undefined;
    let bootstrapped = false;
    let snapshots: SnapshotContents[] = [];
    const digest = (): string => {
      const { hardState, base, termStarts } = log;
      return digestOf({
        ...{ hardState, base, termStarts, bootstrapped, snapshots },
        sessions: (sessions?.index ?? 0) < base.index ? undefined : sessions,
        members: [...members.values()],
        log: bytesOf(log.entries()),
      });
    };
    this.digests = [digest()];
    for (const steps of script(turns)) {
      for (const step of steps) {
        if (step.kind === "write") log.apply(step.write);
        if (step.kind === "compact") log.compact(step.base.index);
        if (step.kind === "sessions") sessions = step.sessions;
        if (step.kind === "member") members.set(step.member.id, step.member);
        if (step.kind === "bootstrapped") bootstrapped = true;
        const added = snapshotIn(step);
        if (added !== undefined) snapshots = [...snapshots, added].slice(-KEPT_SNAPSHOTS);
        this.digests.push(digest());
        if (step.kind === "write") this.#writeSteps.push(this.digests.length - 1);
      }
    }
  }

  /** How many steps are done with the write of turn n. */
  stepsWithWrite(turn: number): number {
    return this.#writeSteps[turn] ?? this.digests.length;
  }
}

/** The snapshot whose file a step needs, if any. */
export function snapshotIn(step: Step): SnapshotContents | undefined {
  if (step.kind === "snapshot") return step.put;
  return step.kind === "write" ? step.arrived : undefined;
}

/** Of an entry that isn't committed here: in the log, where it is another, or beyond it. */
function arrivedAt(turn: number, log: LogModel, committed: number): SnapshotContents {
  const index = committed + 1 + seededRandom(turn)(log.lastIndex - committed + 5);
  return contentsOf(turn, { index, term: turn - 1 });
}

function contentsOf(turn: number, last: EntryId): SnapshotContents {
  const state = Buffer.alloc(turn * 100, `state ${turn} `);
  return { row: snapshotOf(last, state), state };
}

/** With what follows the snapshot, every other time. */
function resetOf(turn: number, reset: SnapshotReset): DiskWrite {
  const { index } = reset.snapshot.last;
  const write = scriptedWrite(turn, index, index);
  return turn % 2 === 0 ? { ...write, reset } : { ...write, reset, frames: [] };
}

function writeOf(turn: number, log: LogModel, committed: number): DiskWrite {
  const write = scriptedWrite(turn, log.lastIndex, committed);
  if (turn % LARGE_EVERY !== 0) return write;
  const last = write.frames.at(-1)?.last ?? (write.truncateFrom ?? log.lastIndex + 1) - 1;
  return { ...write, frames: [...write.frames, commands(last + 1, turn, 1, LARGE_COMMAND_BYTES)] };
}

/** Another incarnation each time, as of one member whose directory was replaced. */
function memberOf(turn: number): MemberRecord {
  const incarnation = new Uint8Array(16).fill(turn);
  return { id: "n2", incarnation, clientAddress: `127.0.0.1:${turn}`, peerAddress: `127.0.0.1:${turn + 1}` };
}
