import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeFrame } from "../../src/frame/codec.ts";
import { type EntryId, EntryType, type Frame, type HardState, type TermStart } from "../../src/raft/types.ts";
import type { OpenOptions } from "../../src/storage/open.ts";
import type { SqliteStorage } from "../../src/storage/sqlite-storage.ts";
import type { DiskWrite, MemberRecord, SessionCheckpoint, SnapshotRecord, Storage } from "../../src/storage/storage.ts";

/** Who the tests' data directories belong to. */
export const OWNER = { nodeId: "n1", clusterId: "test", bootstrapVoters: ["n1", "n2", "n3"] };

export function optionsFor(dataDir: string): OpenOptions {
  return { dataDir, ...OWNER };
}

/** A folder of the test's own, removed by `removeFolder`. */
export function makeFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "raft-sidecar-storage-"));
}

export function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}

/** One turn, on the disk when the promise resolves. What is left out does not change. */
export function write(storage: Storage, turn: Partial<DiskWrite>): Promise<void> {
  const { hardState, reset, truncateFrom, frames = [] } = turn;
  return new Promise((resolve) => storage.write({ hardState, reset, truncateFrom, frames }, resolve));
}

export function read(storage: Storage, first: number, last: number, maxBytes = 1e9): Promise<readonly Frame[]> {
  return new Promise((resolve) => storage.read({ first, last, maxBytes, isCommitted: true }, resolve));
}

export function saveMember(storage: Storage, member: MemberRecord): Promise<void> {
  return new Promise((resolve) => storage.saveMember(member, resolve));
}

export function saveSessions(storage: Storage, { index, bytes }: SessionCheckpoint): Promise<void> {
  return new Promise((resolve) => storage.saveSessions({ index, bytes: Uint8Array.from(bytes) }, resolve));
}

export function saveSnapshot(
  storage: Storage,
  snapshot: SnapshotRecord,
  dropped: readonly SnapshotRecord[] = [],
): Promise<void> {
  return new Promise((resolve) => storage.saveSnapshot(snapshot, dropped, resolve));
}

/** The row of a snapshot with that state. */
export function snapshotOf(last: EntryId, state: Uint8Array = new Uint8Array(0)): SnapshotRecord {
  const sha256 = Uint8Array.from(createHash("sha256").update(state).digest());
  const ownState = Uint8Array.of(last.index, last.term);
  return { last, format: `f${last.index}`, size: state.length, sha256, ownState };
}

/** A snapshot's file, empty: it counts once a row says so. */
export async function makeSnapshotFile({ snapshotFiles }: SqliteStorage, last: EntryId): Promise<SnapshotRecord> {
  const snapshot = snapshotOf(last);
  await (await snapshotFiles.create()).finish(snapshot);
  return snapshot;
}

export function compact(storage: Storage, base: EntryId): Promise<void> {
  return new Promise((resolve) => storage.compact(base, resolve));
}

export function saveBootstrapped(storage: Storage): Promise<void> {
  return new Promise((resolve) => storage.saveBootstrapped(resolve));
}

/** The first failure of a storage. Only for one that is expected to fail. */
export function failureOf(storage: Storage): Promise<Error> {
  return new Promise((resolve) => {
    storage.onFailure = resolve;
  });
}

/** `count` commands from `first` on, each different. */
export function commands(first: number, term: number, count: number, bytesEach = 20): Frame {
  const payloads = Array.from({ length: count }, (_, i) => payload(first + i, term, bytesEach));
  return encodeFrame({ index: first, term }, EntryType.command, payloads);
}

export function noOp(index: number, term: number): Frame {
  return encodeFrame({ index, term }, EntryType.noOp, [new Uint8Array(0)]);
}

function payload(index: number, term: number, length: number): Uint8Array {
  return new Uint8Array(length).map((_, i) => index * 7 + term * 31 + i);
}

/** The frames' bytes one after the other: what a log holds, however it is split. */
export function bytesOf(frames: readonly Frame[]): Buffer {
  return Buffer.concat(frames.map((frame) => frame.bytes));
}

/** A log in memory that takes the same writes, entry by entry. */
export class LogModel {
  hardState: HardState = { currentTerm: 0, votedFor: "" };
  base: EntryId = { index: 0, term: 0 };
  #entries: Frame[] = [];

  get lastIndex(): number {
    return this.base.index + this.#entries.length;
  }

  get termStarts(): TermStart[] {
    return this.#entries
      .map(({ first, term }) => ({ index: first, term }))
      .filter(({ term }, i) => term !== this.#entries[i - 1]?.term);
  }

  apply({ hardState, reset, truncateFrom, frames }: DiskWrite): void {
    this.hardState = hardState ?? this.hardState;
    if (reset !== undefined) {
      this.base = reset.snapshot.last;
      this.#entries = [];
    }
    if (truncateFrom !== undefined) this.#entries.splice(truncateFrom - this.base.index - 1);
    for (const frame of frames) {
      let start = 0;
      for (const [i, end] of frame.ends.entries()) {
        const bytes = frame.bytes.slice(start, end);
        this.#entries.push({
          ...frame,
          first: frame.first + i,
          last: frame.first + i,
          bytes,
          ends: Uint32Array.of(end),
        });
        start = end;
      }
    }
  }

  /** Lets the log begin after an entry that it has. */
  compact(index: number): EntryId {
    const base = this.idAt(index);
    this.#entries.splice(0, index - this.base.index);
    this.base = base;
    return base;
  }

  idAt(index: number): EntryId {
    return { index, term: this.entries(index, index)[0]?.term ?? this.base.term };
  }

  /** The entries `first` to `last`, one frame each. */
  entries(first = this.base.index + 1, last = this.lastIndex): readonly Frame[] {
    return this.#entries.slice(first - this.base.index - 1, last - this.base.index);
  }
}

/**
 * The n-th write of a script (n from 1) onto a log that ends at `lastIndex`: a new term each time, so that the term
 * found later tells how many writes were executed; sometimes a truncation, often in the middle of a frame, that keeps
 * what is committed.
 */
export function scriptedWrite(n: number, lastIndex: number, committed = 0): DiskWrite {
  const random = seededRandom(n);
  const kept = random(3) === 0 ? Math.max(committed, lastIndex - random(12)) : lastIndex;
  const frames: Frame[] = [];
  let next = kept + 1;
  for (let i = random(4); i > 0; i--) {
    const frame = random(4) === 0 ? noOp(next, n) : commands(next, n, 1 + random(9), 1 + random(300));
    frames.push(frame);
    next = frame.last + 1;
  }
  return {
    hardState: { currentTerm: n, votedFor: `n${1 + random(3)}` },
    truncateFrom: kept < lastIndex ? kept + 1 : undefined,
    frames,
  };
}

/** Numbers from 0 to below `bound`, the same ones for the same seed. */
export function seededRandom(seed: number): (bound: number) => number {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}
