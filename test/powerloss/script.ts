import { createHash } from "node:crypto";
import type { HardState, TermStart } from "../../src/raft/types.ts";
import type { DiskWrite, MemberRecord, SessionCheckpoint } from "../../src/storage/storage.ts";
import { bytesOf, commands, LogModel, scriptedWrite } from "../storage/support.ts";

/** One transaction. Those of a turn follow its write, and leave the same when they are executed again. */
export type Step =
  | { readonly kind: "write"; readonly write: DiskWrite }
  | { readonly kind: "sessions"; readonly sessions: SessionCheckpoint }
  | { readonly kind: "member"; readonly member: MemberRecord }
  | { readonly kind: "snapshot"; readonly index: number; readonly state: Buffer }
  | { readonly kind: "bootstrapped" };

/** In turns. */
const LARGE_EVERY = 40;
const SESSIONS_EVERY = 7;
const MEMBER_EVERY = 11;
const SNAPSHOT_EVERY = 14;
const BOOTSTRAPPED_AT = 60;

const LARGE_COMMAND_BYTES = 250_000;

/** Snapshots that are kept. */
const KEPT_SNAPSHOTS = 2;

/** What a data directory holds, but for what is its own. */
export interface Contents {
  readonly hardState: HardState;
  readonly termStarts: readonly TermStart[];
  readonly sessions: SessionCheckpoint | undefined;
  readonly members: readonly MemberRecord[];
  readonly bootstrapped: boolean;
  /** Oldest first. */
  readonly snapshots: readonly SnapshotContents[];
  /** The whole log. */
  readonly log: Buffer;
}

/** A snapshot: the entry that it is as of, and its state. */
export interface SnapshotContents {
  readonly index: number;
  readonly state: Buffer;
}

/** Equal for equal contents, whatever the classes and the order of the fields that hold them. */
export function digestOf({ hardState, termStarts, sessions, members, bootstrapped, snapshots, log }: Contents): string {
  const parts = [
    [hardState.currentTerm, hardState.votedFor, bootstrapped],
    termStarts.map(({ index, term }) => [index, term]),
    sessions === undefined ? [] : [sessions.index, hex(sessions.bytes)],
    snapshots.map(({ index, state }) => [index, hex(createHash("sha1").update(state).digest())]),
    members.map((member) => [member.id, hex(member.incarnation), member.clientAddress, member.peerAddress]),
  ];
  return createHash("sha1").update(JSON.stringify(parts)).update(log).digest("hex");
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** The steps of so many turns, the same in every run. Turn n (from 1) writes term n. */
export function* script(turns: number): Generator<Step[]> {
  const log = new LogModel();
  let committed = 0;
  let snapshot = 0;
  for (let turn = 1; turn <= turns; turn++) {
    const write = writeOf(turn, log, committed);
    log.apply(write);
    const steps: Step[] = [{ kind: "write", write }];
    if (turn % SESSIONS_EVERY === 0) {
      // What the sessions rest on is committed, and never truncated.
      committed = log.lastIndex;
      steps.push({ kind: "sessions", sessions: { index: committed, bytes: Buffer.alloc(turn * 10, turn) } });
    }
    if (turn % SNAPSHOT_EVERY === 0 && committed > snapshot) {
      snapshot = committed;
      steps.push({ kind: "snapshot", index: committed, state: Buffer.alloc(turn * 100, `state ${turn} `) });
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
      const { hardState, termStarts, lastIndex } = log;
      return digestOf({
        ...{ hardState, termStarts, sessions, bootstrapped, snapshots },
        members: [...members.values()],
        log: bytesOf(log.entries(1, lastIndex)),
      });
    };
    this.digests = [digest()];
    for (const steps of script(turns)) {
      for (const step of steps) {
        if (step.kind === "write") log.apply(step.write);
        if (step.kind === "sessions") sessions = step.sessions;
        if (step.kind === "member") members.set(step.member.id, step.member);
        if (step.kind === "bootstrapped") bootstrapped = true;
        if (step.kind === "snapshot") snapshots = [...snapshots, step].slice(-KEPT_SNAPSHOTS);
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
