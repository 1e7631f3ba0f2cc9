import { randomFillSync } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import {
  type ProposeResult,
  type ProposeStreamRequest,
  ProposeStreamRequestSchema,
  type ProposeStreamResponse,
} from "../../gen/raft/v1/log_pb.js";
import { openLoop } from "../../src/cli/bench-schedule.ts";
import { TestClient } from "../support/client.ts";
import { sleep } from "../support/wait.ts";
import { type Interval, Meter } from "./meter.ts";

const COMMAND_BYTES = 256;

/** A client's sequences are told apart in a window of 1,024: with so many clients an outage of seconds fills none. */
const CLIENTS = 64;
const MAX_SPAN = CLIENTS * 1_000;

/** Below what a node has without an answer at most. */
const MAX_IN_FLIGHT = 4_096;
const ITEMS_PER_MESSAGE = 1_000;

const TICK_MS = 5;
const RETRY_MS = 50;
const LEADER_POLL_MS = 1_000;

/** After the end so long answers may take. */
const LAST_ANSWERS_MS = 60_000;

type Stream = ClientDuplexStream<ProposeStreamRequest, ProposeStreamResponse>;

interface Open {
  readonly dueMs: number;
  /** Undefined while it waits to be sent again. */
  stream: Stream | undefined;
}

export interface LoadOptions {
  readonly addresses: readonly string[];
  readonly rate: number;
}

export interface LoadSample extends Interval {
  /** Since the start. */
  readonly retries: number;
  readonly duplicates: number;
}

/** What was acknowledged in the end. */
export interface LoadResult {
  /** The last sequence of each client: all from 1 on were sent. */
  readonly lastSequences: ReadonlyMap<string, number>;
  /** Commands that no node could be brought to acknowledge. */
  readonly open: number;
  readonly lost: readonly string[];
}

/** Commands at a constant rate, whatever becomes of them, each proposed to the leader until it is acknowledged. */
export class StreamLoad {
  readonly #clients: readonly TestClient[];
  readonly #meter = new Meter();
  readonly #schedule;
  readonly #filler = randomFillSync(Buffer.alloc(COMMAND_BYTES));
  /** By number, from 0 on, the oldest first. */
  readonly #open = new Map<number, Open>();
  #next = 0;
  #last = Number.POSITIVE_INFINITY;
  #inFlight = 0;
  #again: number[] = [];
  #leader: TestClient | undefined;
  #stream: Stream | undefined;
  #retries = 0;
  #duplicates = 0;
  #isClosed = false;
  readonly #lost: string[] = [];

  constructor({ addresses, rate }: LoadOptions) {
    this.#clients = addresses.map((address) => new TestClient(address));
    this.#schedule = openLoop(performance.now(), rate);
    void this.#followLeader();
    void this.#run();
  }

  sample(): LoadSample {
    return { ...this.#meter.take(), retries: this.#retries, duplicates: this.#duplicates };
  }

  /** Sends nothing new, and waits until everything is acknowledged. */
  async stop(): Promise<LoadResult> {
    this.#last = this.#next;
    const deadlineMs = performance.now() + LAST_ANSWERS_MS;
    while (this.#open.size > 0 && performance.now() < deadlineMs) await sleep(TICK_MS);
    this.#isClosed = true;
    for (const client of this.#clients) client.close();
    const lastSequences = new Map<string, number>();
    for (let n = Math.max(0, this.#last - CLIENTS); n < this.#last; n++) lastSequences.set(...idOf(n));
    return { lastSequences, open: this.#open.size, lost: this.#lost };
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      if (this.#leader !== undefined) this.#send(this.#leader);
      await sleep(TICK_MS);
    }
  }

  #send(leader: TestClient): void {
    const nowMs = performance.now();
    const stream = this.#stream ?? this.#openStream(leader);
    const due = Math.min(this.#schedule.countBefore(nowMs), this.#last);
    const [oldest = this.#next] = this.#open.keys();
    const numbers = this.#again.splice(0, Math.max(0, MAX_IN_FLIGHT - this.#inFlight));
    while (this.#next < due && this.#inFlight + numbers.length < MAX_IN_FLIGHT && this.#next - oldest < MAX_SPAN) {
      const n = this.#next++;
      this.#open.set(n, { dueMs: this.#schedule.dueMs(n, nowMs), stream: undefined });
      numbers.push(n);
    }
    this.#inFlight += numbers.length;
    for (let at = 0; at < numbers.length; at += ITEMS_PER_MESSAGE) {
      this.#write(stream, numbers.slice(at, at + ITEMS_PER_MESSAGE));
    }
  }

  #write(stream: Stream, numbers: readonly number[]): void {
    const items = numbers.map((n) => {
      const open = this.#open.get(n);
      if (open !== undefined) open.stream = stream;
      const [clientId, sequence] = idOf(n);
      return { requestId: BigInt(n), command: this.#command(n), clientId, sequence: BigInt(sequence) };
    });
    stream.write(create(ProposeStreamRequestSchema, { items }));
  }

  #command(n: number): Buffer {
    const command = Buffer.from(this.#filler);
    command.writeDoubleLE(n);
    return command;
  }

  #openStream(leader: TestClient): Stream {
    const stream = leader.proposeStream();
    this.#stream = stream;
    stream.on("data", ({ results }: ProposeStreamResponse) => {
      for (const result of results) this.#onResult(stream, result);
    });
    stream.on("error", () => {});
    stream.on("status", () => {
      if (this.#stream === stream) {
        this.#stream = undefined;
        this.#leader = undefined;
      }
      for (const [n, open] of this.#open) if (open.stream === stream) this.#retry(n, open);
    });
    return stream;
  }

  #onResult(stream: Stream, { requestId, outcome }: ProposeResult): void {
    const n = Number(requestId);
    const open = this.#open.get(n);
    if (open === undefined || open.stream !== stream) return;
    if (outcome.case === "error" && outcome.value.reason !== "SEQUENCE_TOO_OLD") return this.#retry(n, open);
    this.#inFlight--;
    this.#open.delete(n);
    if (outcome.case !== "committed") {
      this.#lost.push(`${idOf(n)}: ${outcome.value?.reason ?? "no outcome"}`);
      return;
    }
    if (outcome.value.duplicate) this.#duplicates++;
    this.#meter.record(performance.now() - open.dueMs);
  }

  #retry(n: number, open: Open): void {
    open.stream = undefined;
    this.#inFlight--;
    this.#retries++;
    setTimeout(() => this.#again.push(n), RETRY_MS);
  }

  /** Proposals go to whoever leads. What is under way elsewhere is answered there. */
  async #followLeader(): Promise<void> {
    while (!this.#isClosed) {
      const states = await Promise.all(this.#clients.map((client) => client.state().catch(() => undefined)));
      const leading = states.map((state) => (state?.isLeader ? state.term : -1));
      const newest = Math.max(...leading);
      const leader = newest < 0 ? undefined : this.#clients[leading.indexOf(newest)];
      if (leader !== undefined && leader !== this.#leader && !this.#isClosed) {
        this.#stream?.end();
        this.#stream = undefined;
        this.#leader = leader;
      }
      await sleep(this.#leader === undefined ? RETRY_MS : LEADER_POLL_MS);
    }
  }
}

function idOf(n: number): [clientId: string, sequence: number] {
  return [`load-${n % CLIENTS}`, Math.floor(n / CLIENTS) + 1];
}
