import type { ProposeStreamResponse } from "../../gen/raft/v1/log_pb.js";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import { fromProposeError } from "../../src/grpc/propose-error.ts";
import { type Placed, proposeItems, type TestClient } from "./client.ts";
import { sleep, until } from "./wait.ts";

const CALL_TIMEOUT_MS = 3_000;
const PAUSE_AFTER_FAILURE_MS = 20;
const STREAM_ITEMS_IN_FLIGHT = 16;

/**
 * Clients that propose until they are acknowledged: whatever fails they propose again, with the same sequence, at the next
 * node.
 */
export class Retriers {
  /** What was acknowledged, by command. */
  readonly acknowledged = new Map<string, Placed>();
  /** How often which failure was followed by a retry. */
  readonly failures = new Map<string, number>();
  readonly #clients: readonly TestClient[];
  readonly #running: Promise<void>;
  #left: number;

  /** Proposes `count` commands in all. */
  constructor(clients: readonly TestClient[], count: number, { unary, streams }: { unary: number; streams: number }) {
    this.#clients = clients;
    this.#left = count;
    this.#running = Promise.all([
      ...Array.from({ length: unary }, (_, k) => this.#runUnary(`unary-${k}`, k)),
      ...Array.from({ length: streams }, (_, k) => this.#runStream(`stream-${k}`, k)),
    ]).then(() => undefined);
    // A failed test closes the clients under it; `end` tells of everything else.
    this.#running.catch(() => {});
  }

  get duplicates(): number {
    return [...this.acknowledged.values()].filter(({ duplicate }) => duplicate).length;
  }

  get isDone(): boolean {
    return this.#left <= 0;
  }

  /** Waits until `count` more are acknowledged, or all are. */
  async progress(count: number): Promise<void> {
    const goal = this.acknowledged.size + count;
    await until(
      () => `${goal} commands are acknowledged, ${this.acknowledged.size} are`,
      () => this.acknowledged.size >= goal || this.isDone,
    );
  }

  /** Waits until all are acknowledged. */
  end(): Promise<void> {
    return this.#running;
  }

  #take(): boolean {
    return this.#left-- > 0;
  }

  async #runUnary(clientId: string, first: number): Promise<void> {
    let turn = first;
    for (let sequence = 1; this.#take(); sequence++) {
      const command = `${clientId}:${sequence}`;
      while (!this.acknowledged.has(command)) {
        try {
          const placed = await this.#client(turn).proposeAs({ clientId, sequence }, command, CALL_TIMEOUT_MS);
          this.acknowledged.set(command, placed);
        } catch (error) {
          if (!(error instanceof CallFailure)) throw error;
          this.#failed(error.failure?.reason ?? error.code);
          turn++;
          await sleep(PAUSE_AFTER_FAILURE_MS);
        }
      }
    }
  }

  /** Each stream takes over what the one before left without a result, or with a failure. */
  async #runStream(clientId: string, first: number): Promise<void> {
    const open = new Map<number, string>();
    let next = 1;
    for (let turn = first; !this.isDone || open.size > 0; turn++) {
      const stream = this.#client(turn).proposeStream();
      let hasFailed = false;
      const send = (sequences: readonly number[]): void => {
        const items = sequences.map((sequence) => ({
          requestId: sequence,
          command: open.get(sequence) ?? "",
          id: { clientId, sequence },
        }));
        if (items.length > 0) stream.write(proposeItems(items));
      };
      const fill = (): void => {
        const fresh: number[] = [];
        while (open.size < STREAM_ITEMS_IN_FLIGHT && !hasFailed && this.#take()) {
          open.set(next, `${clientId}:${next}`);
          fresh.push(next++);
        }
        send(fresh);
        if (hasFailed || open.size === 0) stream.end();
      };
      const ended = new Promise<void>((resolve) => {
        stream.once("status", () => resolve());
      });
      stream.on("error", (error: Error & { code?: number }) => this.#failed(`stream ${error.code}`));
      stream.on("data", ({ results }: ProposeStreamResponse) => {
        for (const { requestId, outcome } of results) {
          const sequence = Number(requestId);
          if (outcome.case === "committed") {
            const { index, term, duplicate } = outcome.value;
            const placed = { index: Number(index), term: Number(term), duplicate };
            this.acknowledged.set(open.get(sequence) ?? "", placed);
            open.delete(sequence);
          } else if (outcome.case === "error") {
            this.#failed(fromProposeError(outcome.value).reason);
            hasFailed = true;
          }
        }
        fill();
      });
      const silence = setTimeout(() => stream.cancel(), 4 * CALL_TIMEOUT_MS);
      send([...open.keys()]);
      fill();
      await ended;
      clearTimeout(silence);
      await sleep(PAUSE_AFTER_FAILURE_MS);
    }
  }

  #client(turn: number): TestClient {
    const client = this.#clients[turn % this.#clients.length];
    if (client === undefined) throw new Error("there are clients");
    return client;
  }

  #failed(why: string): void {
    this.failures.set(why, (this.failures.get(why) ?? 0) + 1);
  }
}
