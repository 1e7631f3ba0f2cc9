import type { ClientReadableStream } from "@grpc/grpc-js";
import type { ApplyStreamResponse } from "../../gen/raft/v1/log_pb.js";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import type { TestClient } from "../support/client.ts";
import { sleep } from "../support/wait.ts";
import { Applier, FORMAT } from "./applier.ts";
import type { Ledger } from "./ledger.ts";

const RETRY_MS = 100;
const ACKNOWLEDGE_MS = 3_000;
const STAY_MS = [20_000, 60_000] as const;
const AWAY_MS = [20_000, 60_000] as const;

/** A durable subscriber that comes and goes: it returns to another node and goes on from its cursor. */
export class Traveller {
  readonly applier: Applier;
  visits = 0;
  acknowledged = 0;
  /** By reason, the acknowledgements that failed. */
  readonly failed = new Map<string, number>();
  readonly #name: string;
  readonly #clients: readonly TestClient[];
  #stream: ClientReadableStream<ApplyStreamResponse> | undefined;
  #token: Uint8Array = new Uint8Array(0);
  #isAway = false;
  #isHome = false;
  #isClosed = false;
  readonly #ended: Promise<void>;
  readonly #timer: NodeJS.Timeout;
  #wake: () => void = () => {};

  constructor(name: string, clients: readonly TestClient[], ledger: Ledger) {
    this.#name = name;
    this.#clients = clients;
    this.applier = new Applier(`the durable subscriber ${name}`, ledger);
    this.#ended = Promise.all([this.#travel(), this.#run()]).then(() => {});
    this.#timer = setInterval(() => void this.#acknowledge(), ACKNOWLEDGE_MS);
  }

  /** Comes back, and stays. */
  comeHome(): void {
    this.#isHome = true;
    this.#isAway = false;
    this.#wake();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.comeHome();
    this.#stream?.cancel();
    clearInterval(this.#timer);
    await this.#ended;
  }

  async #travel(): Promise<void> {
    while (!this.#isHome) {
      await this.#pause(between(STAY_MS));
      if (this.#isHome) return;
      this.#isAway = true;
      this.#stream?.cancel();
      await this.#pause(between(AWAY_MS));
      this.#isAway = false;
    }
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#isClosed; ) {
      const client = this.#clients[turn % this.#clients.length];
      if (client !== undefined && !this.#isAway) {
        turn++;
        await this.#visit(client);
      }
      if (!this.#isClosed) await sleep(RETRY_MS);
    }
  }

  async #visit(client: TestClient): Promise<void> {
    this.visits++;
    const stream = client.apply({
      start: { case: "fromCursor", value: true },
      subscriber: this.#name,
      logId: this.applier.logId,
      snapshotFormats: [FORMAT],
    });
    this.#stream = stream;
    await this.applier.follow(stream, 0, (frame) => {
      if (frame.case === "header") this.#token = frame.value.streamToken;
    });
    this.#token = new Uint8Array(0);
  }

  async #acknowledge(): Promise<void> {
    const { position } = this.applier.state;
    const client = this.#clients[(this.visits - 1) % this.#clients.length];
    if (this.#token.length === 0 || position === 0 || client === undefined) return;
    try {
      await client.acknowledge({ subscriber: this.#name, streamToken: this.#token, index: BigInt(position) });
      this.acknowledged++;
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      const reason = error.failure?.reason ?? error.code;
      this.failed.set(reason, (this.failed.get(reason) ?? 0) + 1);
    }
  }

  /** Until it is called home. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function between([least, most]: readonly [number, number]): number {
  return least + Math.random() * (most - least);
}
