import { Failure } from "../failure.ts";
import type { Batch, BatchReader } from "./batch-reader.ts";
import type { CommittedLog } from "./committed-log.ts";
import { Handover, STALL_MS } from "./handover.ts";
import type { SentSnapshot, SnapshotSource } from "./snapshot-source.ts";

/** Where a subscriber starts, and what it saw before. */
export interface Start {
  /** What it applied last. Delivery starts after it. */
  readonly afterIndex: number;
  /** Term of the entry there, as it saw it; 0 when it doesn't say. */
  readonly afterTerm: number;
  /** Of the log that it saw; empty when it doesn't say. */
  readonly logId: Uint8Array;
  /** Of snapshots that it can restore; none for entries only. */
  readonly formats: readonly string[];
}

/** Where a subscriber's frames go. */
export interface Sink {
  /** Whether it takes another frame now. Once it does again, it calls the cursor's `wake`. */
  readonly ready: boolean;
  /** The encoded commands of a batch. */
  batch(encoded: Buffer): void;
  /** Everything to `index` was sent. */
  progress(index: number): void;
  /** A snapshot follows, chunk by chunk, and replaces what the subscriber has. */
  snapshot(snapshot: SentSnapshot): void;
  chunk(bytes: Uint8Array): void;
  /** Nothing follows. Called at most once. */
  end(failure: Error): void;
}

/** One subscriber's place in the log. At most one batch is being read for it, and none while its sink is not ready. */
export class Cursor {
  readonly #log: CommittedLog;
  readonly #reader: BatchReader;
  readonly #snapshots: SnapshotSource;
  readonly #sink: Sink;
  readonly #start: Start;
  /** The last index covered: sent, or applied by the subscriber before. */
  #position: number;
  /** A snapshot that is being sent. */
  #handover: Handover | undefined;
  #checked = false;
  #reading = false;
  #closed = false;
  #sentSinceTick = false;

  constructor(log: CommittedLog, reader: BatchReader, snapshots: SnapshotSource, start: Start, sink: Sink) {
    this.#log = log;
    this.#reader = reader;
    this.#snapshots = snapshots;
    this.#start = start;
    this.#position = start.afterIndex;
    this.#sink = sink;
  }

  /** Sends what can be sent now. */
  wake(): void {
    while (!this.#closed && !this.#reading) {
      if (this.#log.draining) {
        return this.#end(new Failure("DRAINING", "this node shuts down; subscribe on any other with the same index"));
      }
      if (this.#mustLearnLogId()) return;
      const failure = this.#checked ? undefined : this.#mismatch();
      if (failure !== undefined) return this.#end(failure);
      if (!this.#sink.ready) return;
      if (this.#handover !== undefined) return this.#handover.next();
      const { first, applied } = this.#log.state();
      // Where the log begins later than what is applied, it is being replaced by a snapshot.
      if (this.#position >= applied || first > applied + 1) return;
      if (this.#position + 1 < first) return this.#handOver(first);
      this.#readNext();
    }
  }

  /** A while has passed: an idle stream says how far it is. */
  tick(): void {
    this.wake();
    const isDue = !this.#sentSinceTick || this.#log.snapshots.isWanted;
    const canSend = !this.#closed && this.#handover === undefined && this.#sink.ready;
    if (isDue && canSend) this.#sink.progress(this.#position);
    this.#sentSinceTick = false;
  }

  /** Ends a hand-over of which the subscriber takes nothing: it would keep the log from being cut off for ever. */
  endStalled(nowMs: number): void {
    if (this.#handover?.isStalled(nowMs) !== true) return;
    this.#end(
      new Failure("OVERLOADED", `nothing of the snapshot was read for ${STALL_MS} ms`, { retryAfterMs: 1_000 }),
    );
  }

  /** The subscriber has left. */
  close(): void {
    this.#closed = true;
    this.#handover?.close();
  }

  /** What follows is gone here: a snapshot stands for it. */
  #handOver(first: number): void {
    const { formats } = this.#start;
    const snapshot = formats.length === 0 ? undefined : this.#snapshots.find(formats, first - 1);
    if (snapshot === undefined) return this.#end(this.#compacted(first));
    this.#handover = new Handover(this.#snapshots, snapshot, {
      chunk: (bytes) => this.#sink.chunk(bytes),
      onReady: () => this.wake(),
      onEnd: (failure) => {
        this.#handover = undefined;
        if (failure !== undefined) return this.#end(failure);
        this.#position = snapshot.last.index;
        this.wake();
      },
    });
    this.#sink.snapshot(snapshot);
  }

  #readNext(): void {
    this.#reading = true;
    let returned = false;
    this.#reader.read(this.#position, (result) => {
      this.#reading = false;
      if (this.#closed) return;
      // The log may have been cut off meanwhile: then there is a snapshot, or another reason to end.
      const isCut = result instanceof Failure && result.reason === "COMPACTED";
      if (!(result instanceof Failure)) this.#deliver(result);
      else if (!isCut) this.#end(result);
      // Called back at once: `wake` goes on in its loop.
      if (returned) this.wake();
    });
    returned = true;
  }

  #deliver(batch: Batch): void {
    this.#position = batch.last;
    this.#sentSinceTick = true;
    if (batch.encoded === undefined) this.#sink.progress(batch.last);
    else this.#sink.batch(batch.encoded);
  }

  #end(failure: Error): void {
    this.close();
    this.#sink.end(failure);
  }

  /** Whether the subscriber named a log and this node doesn't know its own yet: nothing is delivered unchecked. */
  #mustLearnLogId(): boolean {
    return this.#start.logId.length > 0 && this.#log.logId.length === 0;
  }

  #compacted(first: number): Failure {
    const { formats } = this.#start;
    const found = this.#snapshots.find([], first - 1);
    const offered = found === undefined ? "" : `, and the newest snapshot is in the format ${found.format}`;
    const wanted = formats.length === 0 ? "no format of snapshots is" : `of snapshots only ${formats.join(", ")} are`;
    return new Failure(
      "COMPACTED",
      `the log starts at index ${first}, and what follows after_index ${this.#position} is gone${offered}; ${wanted} in ` +
        "snapshot_formats. Name its format there, or bring the application to a later state, and subscribe again",
      {
        metadata: {
          first_index: String(first),
          after_index: String(this.#position),
          ...(found === undefined ? {} : { snapshot_index: String(found.last.index), snapshot_format: found.format }),
        },
      },
    );
  }

  #mismatch(): Failure | undefined {
    const failure = mismatchOf(this.#log, this.#start);
    if (this.#log.state().applied >= this.#start.afterIndex) this.#checked = true;
    return failure;
  }
}

/** Whether a subscriber's state comes from another log, as far as this node knows: the entry is looked at once it is here. */
export function mismatchOf(log: CommittedLog, { afterIndex, afterTerm, logId }: Start): Failure | undefined {
  const ownLogId = log.logId;
  if (logId.length > 0 && ownLogId.length > 0 && Buffer.compare(logId, ownLogId) !== 0) {
    return epochMismatch("the log is another", { log_id: hex(ownLogId), requested_log_id: hex(logId) });
  }
  if (log.state().applied < afterIndex) return undefined;
  const term = afterTerm === 0 ? undefined : log.termAt(afterIndex);
  if (term === undefined || term === afterTerm) return undefined;
  return epochMismatch(`the entry at index ${afterIndex} has another term`, {
    index: String(afterIndex),
    term: String(term),
    requested_term: String(afterTerm),
  });
}

function epochMismatch(what: string, metadata: Record<string, string>): Failure {
  return new Failure(
    "LOG_EPOCH_MISMATCH",
    `${what}: the application's state does not come from this log, so nothing can follow it`,
    { metadata },
  );
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
