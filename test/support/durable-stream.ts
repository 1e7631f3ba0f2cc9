import type { ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import type { ApplyStreamResponse } from "../../gen/raft/v1/log_pb.js";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import type { TestClient } from "./client.ts";
import { until } from "./wait.ts";

/** One stream of a durable subscriber, from its cursor on. */
export class DurableStream {
  readonly name: string;
  /** The indexes of the commands that came, in their order. */
  readonly commands: number[] = [];
  readonly #client: TestClient;
  readonly #stream: ClientReadableStream<ApplyStreamResponse>;
  #token: Uint8Array | undefined;
  #startIndex = 0;
  #position = 0;
  #failure: CallFailure | undefined;

  private constructor(client: TestClient, name: string) {
    this.name = name;
    this.#client = client;
    this.#stream = client.apply({ subscriber: name, start: { case: "fromCursor", value: true } });
    this.#stream.on("data", (response: ApplyStreamResponse) => this.#onFrame(response));
    this.#stream.on("error", (error: ServiceError) => {
      this.#failure = new CallFailure(error);
    });
  }

  /** Once it has its header. Tried again when the node refuses it, as while a leader is elected. */
  static open(client: TestClient, name: string): Promise<DurableStream> {
    return until(
      () => `a stream of ${name} is opened at ${client.address}`,
      async () => {
        const stream = new DurableStream(client, name);
        await until("it begins, or is refused", () => stream.#token !== undefined || stream.#failure !== undefined);
        return stream.#token === undefined ? undefined : stream;
      },
    );
  }

  /** After which entry it began. */
  get startIndex(): number {
    return this.#startIndex;
  }

  /** How it ended; undefined while it hasn't. */
  get reason(): string | undefined {
    return this.#failure === undefined ? undefined : (this.#failure.failure?.reason ?? this.#failure.code);
  }

  acknowledge(index: number, client = this.#client): Promise<number> {
    const streamToken = this.#token ?? new Uint8Array(0);
    return client.acknowledge({ subscriber: this.name, streamToken, index: BigInt(index) });
  }

  /** Waits until everything up to `index` was delivered. */
  async reaches(index: number): Promise<void> {
    await until(
      () => `${this.name} at ${this.#position} reaches ${index}, ended with ${this.reason}`,
      () => this.#position >= index,
    );
  }

  close(): void {
    this.#stream.cancel();
  }

  #onFrame({ frame }: ApplyStreamResponse): void {
    switch (frame.case) {
      case "header":
        this.#token = frame.value.streamToken;
        this.#startIndex = Number(frame.value.startIndex);
        return;
      case "batch":
        this.commands.push(...frame.value.entries.map(({ index }) => Number(index)));
        this.#position = Number(frame.value.lastIndex);
        return;
      case "progress":
        this.#position = Number(frame.value.index);
        return;
      default:
        throw new Error(`${this.name} is sent a frame of ${frame.case}`);
    }
  }
}
