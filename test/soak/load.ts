import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { LoadSetup } from "./load-worker.ts";
import type { LoadResult, LoadSample } from "./stream-load.ts";
import type { UnarySample } from "./unary-load.ts";

/** A load in a thread of its own. One question at a time. */
export class Load<Sample, Result> {
  readonly #worker: Worker;

  private constructor(setup: LoadSetup) {
    this.#worker = new Worker(new URL("./load-worker.ts", import.meta.url), { workerData: setup });
  }

  /** Commands at a rate to whoever leads, until they are acknowledged. */
  static stream(addresses: readonly string[], rate: number): Load<LoadSample, LoadResult> {
    return new Load({ kind: "stream", addresses, rate });
  }

  /** Single proposals at a rate to one node. */
  static unary(address: string, rate: number): Load<UnarySample, UnarySample> {
    return new Load({ kind: "unary", address, rate });
  }

  /** Of the time since the last one. */
  sample(): Promise<Sample> {
    return this.#ask("sample") as Promise<Sample>;
  }

  async stop(): Promise<Result> {
    const result = (await this.#ask("stop")) as Result;
    await this.#worker.terminate();
    return result;
  }

  async #ask(order: "sample" | "stop"): Promise<unknown> {
    const answer = once(this.#worker, "message");
    this.#worker.postMessage(order);
    return (await answer)[0];
  }
}
