import { Failure } from "../failure.ts";
import { type CallContext, StreamWriter, type WritableCall } from "./calls.ts";

/** How long a reader may take nothing. */
const READ_TIMEOUT_MS = 60_000;

/** Writes to a stream whose reader the writer waits for. A reader that takes nothing for a minute ends the call. */
export class WaitingWriter<O> {
  readonly #writer: StreamWriter<O>;
  #onReady = (): void => {};

  constructor(call: WritableCall<O>, context: CallContext) {
    this.#writer = new StreamWriter(call, context.translator, () => this.#onReady());
    context.streams.add(call, (failure) => this.#writer.fail(failure));
    call.once("cancelled", () => this.#onReady());
  }

  /** True once the call has ended or is ending. */
  get ended(): boolean {
    return this.#writer.ended;
  }

  /** Writes a message of about `bytes`, and resolves when another may be written, or the call has ended. */
  async write(message: O, bytes: number): Promise<void> {
    this.#writer.write(message, bytes);
    if (this.#writer.ready || this.#writer.ended) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onReady = resolve;
    const timer = setTimeout(() => {
      this.#writer.fail(new Failure("OVERLOADED", `nothing was read for ${READ_TIMEOUT_MS} ms`));
      resolve();
    }, READ_TIMEOUT_MS);
    await promise;
    clearTimeout(timer);
  }

  end(): void {
    this.#writer.end();
  }

  fail(error: unknown): void {
    this.#writer.fail(error);
  }
}
