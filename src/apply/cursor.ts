import { Failure } from "../failure.ts";
import type { Batch, BatchReader } from "./batch-reader.ts";
import type { CommittedLog } from "./committed-log.ts";

/** Where a subscriber starts, and what it saw before. */
export interface Start {
  /** What it applied last. Delivery starts after it. */
  readonly afterIndex: number;
  /** Term of the entry there, as it saw it; 0 when it doesn't say. */
  readonly afterTerm: number;
  /** Of the log that it saw; empty when it doesn't say. */
  readonly logId: Uint8Array;
}

/** Where a subscriber's frames go. */
export interface Sink {
  /** Whether it takes another frame now. Once it does again, it calls the cursor's `wake`. */
  readonly ready: boolean;
  /** The encoded commands of a batch. */
  batch(encoded: Buffer): void;
  /** Everything to `index` was sent. */
  progress(index: number): void;
  /** Nothing follows. Called at most once. */
  end(failure: Failure): void;
}

/** One subscriber's place in the log. At most one batch is being read for it, and none while its sink is not ready. */
export class Cursor {
  readonly #log: CommittedLog;
  readonly #reader: BatchReader;
  readonly #sink: Sink;
  readonly #start: Start;
  /** The last index covered: sent, or applied by the subscriber before. */
  #position: number;
  #checked = false;
  #reading = false;
  #closed = false;
  #sentSinceTick = false;

  constructor(log: CommittedLog, reader: BatchReader, start: Start, sink: Sink) {
    this.#log = log;
    this.#reader = reader;
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
      const failure = this.#refusal();
      if (failure !== undefined) return this.#end(failure);
      if (!this.#sink.ready || this.#position >= this.#log.state().applied) return;
      this.#readNext();
    }
  }

  /** A while has passed: an idle stream says how far it is. */
  tick(): void {
    this.wake();
    if (!this.#closed && !this.#sentSinceTick && this.#sink.ready) this.#sink.progress(this.#position);
    this.#sentSinceTick = false;
  }

  /** The subscriber has left. */
  close(): void {
    this.#closed = true;
  }

  #readNext(): void {
    this.#reading = true;
    let returned = false;
    this.#reader.read(this.#position, (result) => {
      this.#reading = false;
      if (this.#closed) return;
      if (result instanceof Failure) this.#end(result);
      else this.#deliver(result);
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

  #end(failure: Failure): void {
    this.#closed = true;
    this.#sink.end(failure);
  }

  /** Whether the subscriber named a log and this node doesn't know its own yet: nothing is delivered unchecked. */
  #mustLearnLogId(): boolean {
    return this.#start.logId.length > 0 && this.#log.logId.length === 0;
  }

  /** Why this subscriber can't go on from where it is. */
  #refusal(): Failure | undefined {
    if (!this.#checked) {
      const mismatch = this.#mismatch();
      if (mismatch !== undefined) return mismatch;
    }
    const { first } = this.#log.state();
    if (this.#position + 1 >= first) return undefined;
    return new Failure(
      "COMPACTED",
      `the log starts at index ${first}, after_index ${this.#position} is below it: ` +
        "bring the application to a later state, for instance from another copy of it, and subscribe from there",
      { metadata: { first_index: String(first), after_index: String(this.#position) } },
    );
  }

  /** Whether the subscriber's state comes from another log. The entry can be looked at only once it is here. */
  #mismatch(): Failure | undefined {
    const { afterIndex, afterTerm, logId } = this.#start;
    const ownLogId = this.#log.logId;
    if (logId.length > 0 && Buffer.compare(logId, ownLogId) !== 0) {
      return epochMismatch("the log is another", { log_id: hex(ownLogId), requested_log_id: hex(logId) });
    }
    if (this.#log.state().applied < afterIndex) return undefined;
    this.#checked = true;
    const term = afterTerm === 0 ? undefined : this.#log.termAt(afterIndex);
    if (term === undefined || term === afterTerm) return undefined;
    return epochMismatch(`the entry at index ${afterIndex} has another term`, {
      index: String(afterIndex),
      term: String(term),
      requested_term: String(afterTerm),
    });
  }
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
