import { execFileSync } from "node:child_process";
import { Worker } from "node:worker_threads";
import { Summary } from "./summary.ts";
import type { Order, Report } from "./worker.ts";

/** Seeds that a worker is given at a time. */
const CHUNK = 10;
const PROGRESS_MS = 5_000;
/** A seed takes well under a second; whoever needs so long hangs, also on a busy machine. */
const MAX_SEED_MS = 120_000;
/** A seed's life is short, and little of it outlives it. */
const maxYoungGenerationSizeMb = 64;

export interface CampaignOptions {
  /** How many have to count before it ends. */
  readonly seeds: number;
  readonly first: number;
  readonly workers: number;
  /** Each seed twice, to see that it gives the same trace. */
  readonly twice: boolean;
  readonly write: (line: string) => void;
}

/** Many seeds, one after the other, on some threads, until enough have counted or one has failed. */
export class Campaign {
  /** Whether all were well. */
  readonly ended: Promise<boolean>;
  readonly #options: CampaignOptions;
  readonly #summary = new Summary();
  readonly #workers: readonly Worker[];
  readonly #progress: NodeJS.Timeout;
  readonly #startedMs = performance.now();
  readonly #onEnd: (isWell: boolean) => void;
  /** What each worker is at. */
  readonly #running = new Map<Worker, { readonly seed: number; readonly sinceMs: number }>();
  #next: number;
  #busy = 0;
  #violations = 0;
  #isOver = false;

  constructor(options: CampaignOptions) {
    this.#options = options;
    this.#next = options.first;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.ended = promise;
    this.#onEnd = resolve;
    this.#workers = Array.from({ length: options.workers }, () => {
      const url = new URL("./worker.ts", import.meta.url);
      const worker = new Worker(url, { resourceLimits: { maxYoungGenerationSizeMb } });
      worker.on("message", (report: Report) => this.#onReport(worker, report));
      worker.on("error", (error) => this.#onLost(worker, `its worker failed: ${error}`));
      return worker;
    });
    this.#progress = setInterval(() => {
      this.#tell();
      this.#endHanging();
    }, PROGRESS_MS);
    for (const worker of this.#workers) this.#giveWork(worker);
  }

  #giveWork(worker: Worker): void {
    if (this.#violations > 0 || this.#summary.counted >= this.#options.seeds) {
      if (this.#busy === 0) void this.#end();
      return;
    }
    this.#busy++;
    worker.postMessage({ first: this.#next, count: CHUNK, twice: this.#options.twice } satisfies Order);
    this.#next += CHUNK;
  }

  #onReport(worker: Worker, report: Report): void {
    switch (report.kind) {
      case "started":
        this.#running.set(worker, { seed: report.seed, sinceMs: performance.now() });
        return;
      case "done":
        return this.#summary.add(report.outcome);
      case "failed":
        return this.#fail(report.seed, report.message);
      case "idle":
        this.#running.delete(worker);
        this.#busy--;
        return this.#giveWork(worker);
    }
  }

  #fail(seed: number, message: string): void {
    this.#violations++;
    this.#options.write(`seed ${seed} of commit ${commit()} fails: ${message}`);
    this.#options.write(`  make sim SEED=${seed}`);
  }

  /** A worker that hangs does not say so. */
  #endHanging(): void {
    for (const [worker, { sinceMs }] of this.#running) {
      if (performance.now() - sinceMs > MAX_SEED_MS)
        return this.#onLost(worker, `it does not end in ${MAX_SEED_MS} ms`);
    }
  }

  #onLost(worker: Worker, why: string): void {
    const seed = this.#running.get(worker)?.seed;
    if (seed !== undefined) this.#fail(seed, why);
    else {
      this.#violations++;
      this.#options.write(`before any seed: ${why}`);
    }
    void this.#end();
  }

  #tell(): void {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const speed = (this.#summary.virtualHours * 3600) / seconds;
    const progress = `${this.#summary.counted} of ${this.#options.seeds} seeds, ${seconds.toFixed(0)} s`;
    this.#options.write(`${progress}, ${speed.toFixed(0)} times real time`);
  }

  async #end(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#progress);
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
    const { write } = this.#options;
    this.#tell();
    for (const line of this.#summary.details()) write(line);
    const faults = this.#summary.faults();
    for (const fault of faults) write(`the simulation is at fault: ${fault}`);
    write(this.#summary.line(this.#violations));
    this.#onEnd(this.#violations === 0 && faults.length === 0);
  }
}

function commit(): string {
  try {
    const git = (command: string): string => execFileSync("git", command.split(" "), { encoding: "utf8" }).trim();
    const changes = git("status --porcelain") === "" ? "" : " with changes";
    return `${git("rev-parse --short HEAD")}${changes}`;
  } catch {
    return "unknown";
  }
}
