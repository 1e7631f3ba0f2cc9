import { readFileSync } from "node:fs";
import { sleep } from "../support/wait.ts";

const SAMPLE_MS = 500;
const PAGE_BYTES = 4_096;
const MiB = 2 ** 20;

/** When a process has its working set: caches filled, code compiled. */
const WARM_AT = 0.1;

/** What resident memory may have grown by after that. Garbage that is not collected yet takes its share. */
const MAX_GROWTH = 1.5;
const MAX_GROWTH_MIB = 64;

/** How long memory may take to come back once everybody is gone. */
const SETTLE_MS = 3_000;

/** The resident memory of processes, from /proc. */
export class MemoryWatch {
  readonly #pids: readonly number[];
  readonly #start: readonly number[];
  #warm: readonly number[] | undefined;
  #max: number[];
  #end: readonly number[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(pids: readonly number[]) {
    this.#pids = pids;
    this.#start = this.#sample();
    this.#max = [...this.#start];
    this.#timer = setInterval(() => {
      const now = this.#sample();
      this.#max = this.#max.map((max, i) => Math.max(max, now[i] ?? 0));
    }, SAMPLE_MS);
  }

  /** How much of the run is done, from 0 to 1. */
  progress(done: number): void {
    if (done >= WARM_AT) this.#warm ??= this.#sample();
  }

  now(): string {
    return `resident ${this.#sample()
      .map((mib) => mib.toFixed(0))
      .join(", ")} MiB`;
  }

  /** Ends the watch, after a moment of rest. */
  async settle(): Promise<void> {
    await sleep(SETTLE_MS);
    clearInterval(this.#timer);
    this.#end = this.#sample();
  }

  lines(): string[] {
    return this.#pids.map((_, i) => {
      const at = (samples: readonly number[] | undefined): string => (samples?.[i] ?? Number.NaN).toFixed(0);
      return `node ${i + 1}: resident ${at(this.#start)} MiB at the start, ${at(this.#warm)} after a tenth, ${at(this.#max)} at most, ${at(this.#end)} at the end`;
    });
  }

  violations(): string[] {
    return this.#end.flatMap((end, i) => {
      const warm = this.#warm?.[i] ?? Number.POSITIVE_INFINITY;
      return end <= warm * MAX_GROWTH + MAX_GROWTH_MIB ? [] : [`the memory of node ${i + 1} is not flat`];
    });
  }

  /** In MiB; 0 for a process that has ended. */
  #sample(): number[] {
    return this.#pids.map((pid) => {
      try {
        const [, resident] = readFileSync(`/proc/${pid}/statm`, "utf8").split(" ");
        return (Number(resident) * PAGE_BYTES) / MiB;
      } catch {
        return 0;
      }
    });
  }
}
