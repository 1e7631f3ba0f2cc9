import type { SentSnapshot, SnapshotChunks, SnapshotSource } from "./snapshot-source.ts";

/** A snapshot, and the log after it, is kept for a subscriber as long as it takes some of it now and then. */
export const STALL_MS = 60_000;

export interface HandoverHooks {
  readonly chunk: (bytes: Uint8Array) => void;
  /** Called once: all was sent, or why not. */
  readonly onEnd: (failure: Error | undefined) => void;
  /** Called when another chunk may be sent. */
  readonly onReady: () => void;
}

/** Gives one subscriber a snapshot, a chunk at a time. */
export class Handover {
  readonly snapshot: SentSnapshot;
  readonly #hooks: HandoverHooks;
  #chunks: SnapshotChunks | undefined;
  /** Whether something is under way: the opening, or a chunk. */
  #isReading = true;
  #isEnded = false;
  #chunksSent = 0;
  /** How many chunks were sent when last looked at, and since when. */
  #seen = { chunksSent: -1, sinceMs: 0 };

  constructor(source: SnapshotSource, snapshot: SentSnapshot, hooks: HandoverHooks) {
    this.snapshot = snapshot;
    this.#hooks = hooks;
    source.open(snapshot, (result) => {
      this.#isReading = false;
      if (result instanceof Error) return this.#end(result);
      if (this.#isEnded) return result.close();
      this.#chunks = result;
      hooks.onReady();
    });
  }

  /** Sends the next chunk, once it is read. */
  next(): void {
    if (this.#isReading || this.#isEnded) return;
    this.#isReading = true;
    this.#chunks?.read((result) => {
      this.#isReading = false;
      if (this.#isEnded) return;
      if (result instanceof Error || result.length === 0)
        return this.#end(result instanceof Error ? result : undefined);
      this.#chunksSent++;
      this.#hooks.chunk(result);
      this.#hooks.onReady();
    });
  }

  /** Whether nothing was sent for too long, as far as those know who ask now and then. */
  isStalled(nowMs: number): boolean {
    if (this.#seen.chunksSent !== this.#chunksSent) this.#seen = { chunksSent: this.#chunksSent, sinceMs: nowMs };
    return nowMs - this.#seen.sinceMs >= STALL_MS;
  }

  /** The subscriber has left. */
  close(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#chunks?.close();
  }

  #end(failure: Error | undefined): void {
    if (this.#isEnded) return;
    this.close();
    this.#hooks.onEnd(failure);
  }
}
