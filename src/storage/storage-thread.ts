import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { assert } from "../assert.ts";
import { fromErrorRecord, StorageError } from "./error.ts";
import type { Close, Failed, Measured } from "./messages.ts";
import type { DiskUsage } from "./storage.ts";

/**
 * The main thread's side of a storage worker: each request is answered once, in order, until the first failure; from
 * then on nothing is.
 */
export class StorageThread<Request, Reply extends { readonly kind: string }> {
  /** What the worker says of the disk without being asked. */
  onMeasured: (usage: DiskUsage) => void = () => {};
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #waiting: ((reply: Reply) => void)[] = [];
  readonly #onFailure: (error: Error) => void;
  #failed = false;
  #closing = false;

  /** Starts `./<name>` with `setup`. `opened` is called with the first reply; `onFailure` at most once. */
  constructor(name: string, setup: unknown, opened: (reply: Reply) => void, onFailure: (error: Error) => void) {
    this.#onFailure = onFailure;
    this.#waiting.push(opened);
    // The source is run as it is (.ts) or built (.js); a worker's file has the extension of this one.
    const url = new URL(`./${name}${extname(import.meta.url)}`, import.meta.url);
    this.#worker = new Worker(url, { name, workerData: setup });
    this.#worker.on("message", (message: Reply | Failed | Measured) => this.#onMessage(message));
    this.#worker.on("error", (error) => this.#fail(new StorageError("failed", `${name} failed: ${error}`, error)));
    this.#exited = new Promise((resolve) => {
      this.#worker.on("exit", (code) => {
        if (!this.#closing) this.#fail(new StorageError("failed", `${name} ended by itself with code ${code}`));
        resolve();
      });
    });
  }

  post(request: Request, transfer: readonly ArrayBuffer[], done: (reply: Reply) => void): void {
    assert(!this.#closing, "a storage is not used after it was closed");
    if (this.#failed) return;
    this.#waiting.push(done);
    this.#worker.postMessage(request, transfer);
  }

  /** Ends the thread after the requests that were posted. */
  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.#worker.postMessage({ kind: "close" } satisfies Close);
    }
    await this.#exited;
  }

  #onMessage(message: Reply | Failed | Measured): void {
    if (isFailed(message)) return this.#fail(fromErrorRecord(message.error));
    if (isMeasured(message)) return this.onMeasured(message.usage);
    const done = this.#waiting.shift();
    assert(done !== undefined, "a storage worker answers only what was asked");
    if (!this.#failed) done(message);
  }

  #fail(error: Error): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#waiting.length = 0;
    this.#onFailure(error);
  }
}

function isFailed(message: { readonly kind: string }): message is Failed {
  return message.kind === "failed";
}

function isMeasured(message: { readonly kind: string }): message is Measured {
  return message.kind === "measured";
}
