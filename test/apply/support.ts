import type { CommittedLog, CommittedState } from "../../src/apply/committed-log.ts";
import type { Sink, Start } from "../../src/apply/cursor.ts";
import type { SentSnapshot, SnapshotSource } from "../../src/apply/snapshot-source.ts";
import type { Failure } from "../../src/failure.ts";
import type { Frame } from "../../src/raft/types.ts";

/** A log whose entries the test gives, and applies. */
export class GivenLog implements CommittedLog {
  logId = new Uint8Array(16).fill(7);
  draining = false;
  snapshots = { isWanted: false };
  first = 1;
  applied = 0;
  readonly frames: Frame[] = [];
  /** Holds back what is read until `answer`. */
  isHeld = false;
  reads = 0;
  #held: (() => void)[] = [];

  state(): CommittedState {
    return { term: 1, leader: "a", first: this.first, applied: this.applied };
  }

  termAt(index: number): number | undefined {
    return this.frames.find((frame) => frame.first <= index && index <= frame.last)?.term;
  }

  /** Reads whole frames, at most two, as a limit of bytes would have it. */
  readLog(first: number, last: number, _maxBytes: number, done: (result: readonly Frame[] | Failure) => void): void {
    this.reads++;
    const frames = this.frames.filter((frame) => frame.first >= first && frame.last <= last).slice(0, 2);
    if (this.isHeld) this.#held.push(() => done(frames));
    else done(frames);
  }

  answer(): void {
    for (const done of this.#held.splice(0)) done();
  }

  onApplied(): () => void {
    return () => {};
  }
}

/** Keeps what a subscriber gets: "batch (0, 3]", "progress 3", or the reason of the end. */
export class KeptSink implements Sink {
  ready = true;
  readonly got: string[] = [];

  batch(encoded: Buffer): void {
    this.got.push(encoded.toString());
  }

  progress(index: number): void {
    this.got.push(`progress ${index}`);
  }

  snapshot({ last, format }: SentSnapshot): void {
    this.got.push(`snapshot ${last.index} ${format}`);
  }

  chunk(bytes: Uint8Array): void {
    this.got.push(`chunk ${Buffer.from(bytes)}`);
  }

  end(failure: Failure): void {
    this.got.push(failure.reason);
  }
}

/** Of a node that has none. */
export const NO_SNAPSHOTS: SnapshotSource = {
  find: () => undefined,
  open: (_snapshot, done) => done(new Error("there are no snapshots")),
};

/** The encoding of the tests: where the batch lies, and where its commands do. */
export function encodeBatch(prev: number, last: number, frames: readonly Frame[]): Buffer {
  const ranges = frames.map((frame) => `${frame.first}-${frame.last}`);
  return Buffer.from(`(${prev}, ${last}] ${ranges.join(" ")}`);
}

export function startAfter(afterIndex: number, fields: Partial<Start> = {}): Start {
  return { afterIndex, afterTerm: 0, logId: new Uint8Array(0), formats: [], ...fields };
}
