import type { Cursor } from "../../src/apply/cursor.ts";
import type { SentSnapshot } from "../../src/apply/snapshot-source.ts";
import { assert } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import { EntryType, type Frame } from "../../src/raft/types.ts";
import { framesOf } from "./frames.ts";
import type { Host, Process } from "./host.ts";
import { FORMAT } from "./shelf.ts";
import { EVENTS } from "./trace.ts";
import type { World } from "./world.ts";

const NOTHING = new Uint8Array(0);

/** Called with every command that is delivered, in order, each once. */
export type OnCommand = (index: number, frame: Frame) => void;

/** Called with a snapshot that was sent whole: it replaces what the subscriber has. */
export type OnSnapshot = (snapshot: SentSnapshot) => void;

/**
 * A subscriber of the log, which remembers where it is over all disconnects, and holds each stream to what ApplyStream
 * promises: indexes rise, nothing is missing in a claimed range, and nothing appears that isn't committed.
 */
export class Subscriber {
  readonly #world: World;
  readonly #name: string;
  readonly #onCommand: OnCommand;
  readonly #onPosition: (position: number) => void;
  readonly #onSnapshot: OnSnapshot;
  /** What is being sent, and how many bytes are to come. */
  #snapshot: { readonly of: SentSnapshot; left: number } | undefined;
  #position = 0;
  #term = 0;
  #process: Process | undefined;
  #cursor: Cursor | undefined;
  /** Counts the streams: what still comes on an older one is nobody's. */
  #stream = 0;
  #isStalled = false;
  #sentStalled = 0;

  constructor(
    world: World,
    name: string,
    onCommand: OnCommand = () => {},
    onPosition: (position: number) => void = () => {},
    onSnapshot: OnSnapshot = () => {},
  ) {
    this.#world = world;
    this.#name = name;
    this.#onCommand = onCommand;
    this.#onPosition = onPosition;
    this.#onSnapshot = onSnapshot;
  }

  /** What it has applied. */
  get position(): number {
    return this.#position;
  }

  get process(): Process | undefined {
    return this.#process?.isAlive ? this.#process : undefined;
  }

  /** Opens a stream after what it has applied, on `host`; false when nothing runs there that takes it. */
  subscribe(host: Host): boolean {
    this.leave();
    const { process } = host;
    if (process === undefined || process.hub.refusal() !== undefined) return false;
    this.#process = process;
    const start = { afterIndex: this.#position, afterTerm: this.#term, logId: NOTHING, formats: [FORMAT] };
    const stream = ++this.#stream;
    this.#sentStalled = 0;
    this.#snapshot = undefined;
    const isCurrent = (): boolean => this.#stream === stream && process.isAlive;
    const self = this;
    const cursor = process.hub.add(start, {
      get ready() {
        return !self.#isStalled;
      },
      batch: (encoded) => {
        if (isCurrent() && process.mayAct()) this.#world.guard(() => this.#onBatch(process, encoded));
      },
      progress: (index) => {
        if (isCurrent() && process.mayAct()) this.#world.guard(() => this.#onProgress(process, index));
      },
      snapshot: (snapshot) => {
        if (isCurrent() && process.mayAct()) this.#world.guard(() => this.#onHeader(snapshot));
      },
      chunk: (bytes) => {
        if (isCurrent() && process.mayAct()) this.#world.guard(() => this.#onChunk(bytes));
      },
      end: (failure) => {
        if (isCurrent()) this.#world.guard(() => this.#onEnd(failure));
      },
    });
    this.#cursor = cursor;
    this.#say(() => `subscribes at ${host.id}`);
    process.run(() => cursor.wake());
    return true;
  }

  /** It begins anew after `position`. */
  startAt(position: number): void {
    this.#position = position;
    this.#term = this.#world.properties.committedTermAt(position) ?? 0;
  }

  leave(): void {
    const [process, cursor] = [this.#process, this.#cursor];
    this.#process = undefined;
    this.#cursor = undefined;
    this.#stream++;
    if (cursor !== undefined) process?.run(() => process.hub.remove(cursor));
  }

  /** Takes nothing until it is released. */
  stall(): void {
    this.#isStalled = true;
    this.#sentStalled = 0;
    this.#world.counters.add("subscribers stalled");
  }

  release(): void {
    this.#isStalled = false;
    this.#sentStalled = 0;
    const cursor = this.#cursor;
    this.process?.run(() => cursor?.wake());
  }

  #onBatch(process: Process, encoded: Buffer): void {
    // One batch may have been on its way from the disk.
    if (this.#isStalled) this.#sentStalled++;
    assert(this.#sentStalled <= 1, "a stalled subscriber is sent nothing more");
    assert(this.#snapshot === undefined, "a batch comes after the last chunk");
    const { prev, last, frames } = framesOf(encoded);
    assert(prev === this.#position, `a batch after ${prev} is sent to who has ${this.#position}`);
    let covered = prev;
    for (const frame of frames) {
      assert(frame.first > covered && frame.last <= last, `${frame.first}-${frame.last} after ${covered}, to ${last}`);
      this.#skip(process, covered, frame.first - 1);
      this.#take(frame);
      covered = frame.last;
    }
    this.#skip(process, covered, last);
    this.#move(last);
  }

  #onProgress(process: Process, index: number): void {
    assert(this.#snapshot === undefined, "progress comes after the last chunk");
    assert(index >= this.#position, `progress to ${index} is told to who has ${this.#position}`);
    // A start ahead of this node: it waits.
    if (index === this.#position) return;
    this.#skip(process, this.#position, index);
    this.#move(index);
  }

  #onHeader(snapshot: SentSnapshot): void {
    const { index, term } = snapshot.last;
    assert(this.#snapshot === undefined, "a snapshot comes after the last chunk of another");
    assert(index > this.#position, `a snapshot at ${index} is sent to who has ${this.#position}`);
    assert(this.#world.properties.committedTermAt(index) === term, `a snapshot at ${index} has a term of its own`);
    this.#snapshot = { of: snapshot, left: snapshot.size };
  }

  #onChunk(bytes: Uint8Array): void {
    const snapshot = this.#snapshot;
    assert(snapshot !== undefined && bytes.length <= snapshot.left, "a chunk is part of a snapshot");
    snapshot.left -= bytes.length;
    if (snapshot.left > 0) return;
    this.#snapshot = undefined;
    this.#world.counters.add("snapshots handed over");
    this.#onSnapshot(snapshot.of);
    this.#move(snapshot.of.last.index);
  }

  #move(position: number): void {
    this.#say(() => `is sent ${this.#position + 1}-${position} by ${this.#process?.host.id}`);
    this.#world.trace.note(EVENTS.delivered, position, this.#world.nowMs);
    this.#position = position;
    this.#term = this.#world.properties.committedTermAt(position) ?? 0;
    this.#onPosition(position);
  }

  /** All commands of (from, to] were left out: there must be none. */
  #skip(process: Process, from: number, to: number): void {
    for (let index = from + 1; index <= to; index++) {
      // The disk has it, or had it before a snapshot took its place.
      const entry = process.host.mounted.log.entryAt(index) ?? this.#world.properties.entryAt(index);
      assert(entry !== undefined, `entry ${index} was passed, and is not on the disk of ${process.host.id}`);
      assert(entry.type !== EntryType.command, `the command at ${index} was left out`);
    }
  }

  #take(frame: Frame): void {
    assert(frame.type === EntryType.command, "only commands are delivered");
    let start = 0;
    for (let index = frame.first; index <= frame.last; index++) {
      const end = frame.ends[index - frame.first] ?? 0;
      const entry = this.#world.properties.entryAt(index);
      assert(entry !== undefined, `entry ${index} is delivered and not committed`);
      assert(isSame(entry.bytes, frame.bytes, start, end), `other bytes are delivered at ${index}`);
      this.#onCommand(index, entry);
      start = end;
    }
  }

  #say(line: () => string): void {
    this.#world.trace.say(this.#world.nowMs, () => `${this.#name}, at ${this.#position}, ${line()}`);
  }

  #onEnd(failure: Error): void {
    const reason = failure instanceof Failure ? failure.reason : failure.message;
    this.#say(() => `is refused: ${reason}`);
    this.#process = undefined;
    this.#cursor = undefined;
    // Who takes nothing of a snapshot isn't waited for.
    const isGivenUp = reason === "OVERLOADED" && this.#isStalled && this.#snapshot !== undefined;
    const isExpected = reason === "DRAINING" || reason === "NO_SNAPSHOT" || isGivenUp;
    assert(isExpected, `a stream ends with ${reason}: ${failure.message}`);
  }
}

function isSame(entry: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (entry.length !== end - start) return false;
  if (entry.buffer === bytes.buffer && entry.byteOffset === bytes.byteOffset + start) return true;
  return Buffer.compare(entry, bytes.subarray(start, end)) === 0;
}
