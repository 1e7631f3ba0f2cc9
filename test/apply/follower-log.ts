import { fromBinary } from "@bufbuild/protobuf";
import { ApplyStreamResponseSchema } from "../../gen/raft/v1/log_pb.js";
import { BatchReader } from "../../src/apply/batch-reader.ts";
import type { CommittedLog, CommittedState } from "../../src/apply/committed-log.ts";
import { Cursor, type Sink } from "../../src/apply/cursor.ts";
import type { Failure } from "../../src/failure.ts";
import { encodeFrame } from "../../src/frame/codec.ts";
import { encodeApplyBatch } from "../../src/grpc/append-codec.ts";
import { sliceFrame } from "../../src/raft/frame.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { TurnWrite } from "../../src/raft/ready.ts";
import { EntryType, type Frame } from "../../src/raft/types.ts";
import { appendEntries, commands, newCore, receive } from "../support/core.ts";
import { NO_SNAPSHOTS } from "./support.ts";

/** The log of a real core that follows a leader of term 1, with a disk and reads that wait for the test. */
export class FollowerLog implements CommittedLog {
  readonly logId = new Uint8Array(16).fill(7);
  readonly draining = false;
  readonly snapshots = { isWanted: false };
  readonly #raft: Raft = newCore({ cacheBytes: Number.POSITIVE_INFINITY });
  readonly #writes: TurnWrite[] = [];
  readonly #listeners = new Set<() => void>();
  #sequence = 0;
  /** Reads that are not answered yet; undefined while they are answered at once. */
  #held: (() => void)[] | undefined;
  reads = 0;

  /** The leader sends `count` commands, or a no-op. None of it is on the disk yet. */
  append(count: number | "noOp", bytesEach = 1): void {
    const last = this.#raft.log.lastIndex;
    const frame =
      count === "noOp"
        ? encodeFrame({ index: last + 1, term: 1 }, EntryType.noOp, [new Uint8Array(0)])
        : commands(last + 1, count, 1, bytesEach);
    this.#receive([frame], 0);
  }

  /** The leader says that it has committed all that it sent. */
  commit(): void {
    this.#receive([], this.#raft.log.lastIndex);
  }

  /** The disk finishes everything. */
  persist(): void {
    for (const write of this.#writes.splice(0)) this.#raft.step({ kind: "persisted", turn: write.turn });
    this.#turn();
  }

  /** All of `append`, `commit` and `persist`. */
  deliver(count: number | "noOp", bytesEach = 1): void {
    this.append(count, bytesEach);
    this.persist();
    this.commit();
  }

  holdReads(): void {
    this.#held = [];
  }

  releaseReads(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const read of held) read();
  }

  state(): CommittedState {
    const { currentTerm, leader, log, lastApplied } = this.#raft;
    return { term: currentTerm, leader, first: log.firstIndex, applied: lastApplied };
  }

  termAt(index: number): number | undefined {
    return this.#raft.log.termAt(index);
  }

  readLog(first: number, last: number, maxBytes: number, done: (result: readonly Frame[] | Failure) => void): void {
    this.reads++;
    const frames = (this.#raft.log.framesFrom(first, maxBytes) ?? [])
      .filter((frame) => frame.first <= last)
      .map((frame) => sliceFrame(frame, frame.first, Math.min(frame.last, last)));
    if (this.#held === undefined) done(frames);
    else this.#held.push(() => done(frames));
  }

  onApplied(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #receive(frames: readonly Frame[], leaderCommit: number): void {
    const { lastId } = this.#raft.log;
    receive(this.#raft, appendEntries({ prev: lastId, frames, leaderCommit, sequence: ++this.#sequence }));
    this.#turn();
  }

  #turn(): void {
    const before = this.#raft.lastApplied;
    const { write } = this.#raft.takeReady();
    if (write !== undefined) this.#writes.push(write);
    if (this.#raft.lastApplied > before) for (const listener of this.#listeners) listener();
  }
}

/** A subscriber: what it was sent, held against what a stream promises. */
export class Subscriber implements Sink {
  ready = true;
  /** Of all commands, in the order in which they came. */
  readonly indexes: number[] = [];
  readonly progresses: number[] = [];
  readonly violations: string[] = [];
  position: number;
  readonly cursor: Cursor;
  #failure: Failure | undefined;

  constructor(log: FollowerLog, reader: BatchReader, afterIndex: number) {
    this.position = afterIndex;
    const start = { afterIndex, afterTerm: 0, logId: new Uint8Array(0), formats: [] };
    this.cursor = new Cursor(log, reader, NO_SNAPSHOTS, start, this);
    log.onApplied(() => this.cursor.wake());
    this.cursor.wake();
  }

  get failure(): Failure | undefined {
    return this.#failure;
  }

  snapshot(): void {
    this.violations.push("a snapshot is sent");
  }

  chunk(): void {
    this.violations.push("a chunk is sent");
  }

  batch(encoded: Buffer): void {
    const { frame } = fromBinary(ApplyStreamResponseSchema, encoded);
    if (frame.case !== "batch") return void this.violations.push(`a batch is a ${frame.case}`);
    const { prevIndex, lastIndex, entries } = frame.value;
    if (Number(prevIndex) !== this.position) this.violations.push(`a batch after ${prevIndex} at ${this.position}`);
    for (const { index } of entries) {
      if (Number(index) <= this.position || index > lastIndex) this.violations.push(`${index} is outside its batch`);
      this.position = Number(index);
      this.indexes.push(Number(index));
    }
    this.position = Number(lastIndex);
  }

  progress(index: number): void {
    if (index < this.position) this.violations.push(`progress goes back from ${this.position} to ${index}`);
    this.position = index;
    this.progresses.push(index);
  }

  end(failure: Failure): void {
    this.#failure = failure;
  }
}

export function newReader(log: CommittedLog): BatchReader {
  return new BatchReader(log, encodeApplyBatch);
}
