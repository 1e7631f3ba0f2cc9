import type { ClientReadableStream } from "@grpc/grpc-js";
import type { ApplyStreamResponse } from "../../gen/raft/v1/log_pb.js";
import { type LogEntry, type TestClient, toLogEntry } from "./client.ts";
import { sleep, until } from "./wait.ts";

/** Between two attempts, so that a cluster without a node isn't asked without end. */
const RETRY_MS = 20;

/**
 * Applies the log as an application does: from one node after another, each time after what it has applied. Whatever
 * breaks ApplyStream's promise is written down.
 */
export class Subscriber {
  /** Everything applied, in order. */
  readonly entries: LogEntry[] = [];
  readonly violations: string[] = [];
  /** The nodes it was connected to, in order. */
  readonly servedBy: string[] = [];
  readonly #clients: readonly TestClient[];
  #logId: Uint8Array = new Uint8Array(0);
  /** Everything up to here was delivered. */
  #position = 0;
  #stream: ClientReadableStream<ApplyStreamResponse> | undefined;
  #closed = false;
  readonly #ended: Promise<void>;

  /** Asks `clients` in turn, the one at `first` first, and the next one after each end. */
  constructor(clients: readonly TestClient[], first = 0) {
    this.#clients = clients;
    this.#ended = this.#run(first);
    // It ends by itself when a failed test closes its clients; `close` tells of everything else.
    this.#ended.catch(() => {});
  }

  get position(): number {
    return this.#position;
  }

  /** Waits until everything up to `index` was delivered. */
  async reaches(index: number): Promise<readonly LogEntry[]> {
    await until(
      () => `the subscriber at ${this.#position} of [${this.servedBy}] reaches ${index}`,
      () => this.#position >= index,
    );
    return this.entries;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stream?.cancel();
    await this.#ended;
  }

  async #run(first: number): Promise<void> {
    for (let turn = first; !this.#closed; turn++) {
      const client = this.#clients[turn % this.#clients.length];
      if (client !== undefined) await this.#follow(client);
      if (!this.#closed) await sleep(RETRY_MS);
    }
  }

  async #follow(client: TestClient): Promise<void> {
    const last = this.entries.at(-1);
    const stream = client.apply({
      start: { case: "afterIndex", value: BigInt(this.#position) },
      afterTerm: last?.index === this.#position ? BigInt(last.term) : 0n,
      logId: this.#logId,
    });
    this.#stream = stream;
    await new Promise<void>((resolve) => {
      stream.on("data", (response: ApplyStreamResponse) => this.#onFrame(response));
      stream.on("error", () => {});
      stream.on("status", ({ code, details }) => {
        // Nothing but the node's end, or ours, may end a stream.
        if (code !== 1 && code !== 14) this.violations.push(`the stream ended with ${code} ${details}`);
        resolve();
      });
    });
  }

  #onFrame({ frame }: ApplyStreamResponse): void {
    switch (frame.case) {
      case "header":
        this.servedBy.push(frame.value.nodeId);
        this.#onLogId(frame.value.logId);
        return;
      case "batch":
        this.#expect(Number(frame.value.prevIndex) === this.#position, `a batch after ${frame.value.prevIndex}`);
        for (const entry of frame.value.entries) this.#onEntry(toLogEntry(entry));
        this.#expect(Number(frame.value.lastIndex) >= this.#position, `a batch to ${frame.value.lastIndex}`);
        this.#position = Number(frame.value.lastIndex);
        return;
      case "progress":
        this.#expect(Number(frame.value.index) >= this.#position, `progress ${frame.value.index}`);
        this.#position = Number(frame.value.index);
        return;
      default:
        this.violations.push("an unknown frame");
    }
  }

  /** Empty until the node knows its own, as just after its start. */
  #onLogId(logId: Uint8Array): void {
    if (logId.length === 0) return;
    if (this.#logId.length === 0) this.#logId = logId;
    this.#expect(Buffer.compare(this.#logId, logId) === 0, "the log id is another");
  }

  #onEntry(entry: LogEntry): void {
    this.#expect(entry.index > this.#position, `entry ${entry.index}`);
    this.#expect(entry.term >= (this.entries.at(-1)?.term ?? 0), `entry ${entry.index} of an earlier term`);
    this.#position = entry.index;
    this.entries.push(entry);
  }

  #expect(holds: boolean, what: string): void {
    if (!holds) this.violations.push(`${what} at position ${this.#position}, from ${this.servedBy.at(-1)}`);
  }
}

/** What one node delivers of its log up to `index`, from the first command on. */
export async function deliveredBy(client: TestClient, index: number): Promise<readonly LogEntry[]> {
  const subscriber = new Subscriber([client]);
  try {
    const entries = await subscriber.reaches(index);
    if (subscriber.violations.length > 0) throw new Error(subscriber.violations.join("\n"));
    return entries.filter((entry) => entry.index <= index);
  } finally {
    await subscriber.close();
  }
}
