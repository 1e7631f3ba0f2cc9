import { randomBytes } from "node:crypto";
import { openLoop } from "../../src/cli/bench-schedule.ts";
import { TestClient } from "../support/client.ts";
import { sleep } from "../support/wait.ts";
import { type Interval, Meter } from "./meter.ts";

const COMMAND = randomBytes(128).toString("hex");
const TICK_MS = 2;

export interface UnarySample extends Interval {
  /** Since the start. */
  readonly failed: number;
}

/** Single proposals to one node at a constant rate. Who fails isn't sent again. */
export class UnaryLoad {
  readonly #client: TestClient;
  readonly #meter = new Meter();
  readonly #underWay = new Set<Promise<void>>();
  #failed = 0;
  #isStopped = false;

  constructor(address: string, rate: number) {
    this.#client = new TestClient(address);
    void this.#run(rate);
  }

  sample(): UnarySample {
    return { ...this.#meter.take(), failed: this.#failed };
  }

  async stop(): Promise<UnarySample> {
    this.#isStopped = true;
    await Promise.all(this.#underWay);
    this.#client.close();
    return this.sample();
  }

  async #run(rate: number): Promise<void> {
    const schedule = openLoop(performance.now(), rate);
    for (let next = 0; !this.#isStopped; await sleep(TICK_MS)) {
      const nowMs = performance.now();
      for (const due = schedule.countBefore(nowMs); next < due; next++) this.#propose(schedule.dueMs(next, nowMs));
    }
  }

  #propose(dueMs: number): void {
    const call = this.#client
      .propose(COMMAND)
      .then(
        () => this.#meter.record(performance.now() - dueMs),
        () => void this.#failed++,
      )
      .finally(() => this.#underWay.delete(call));
    this.#underWay.add(call);
  }
}
