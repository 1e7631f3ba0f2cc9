import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { type Deadline, type MethodDefinition, status } from "@grpc/grpc-js";
import { timeoutMsOf } from "./call-headers.ts";
import type { UnaryHandler } from "./calls.ts";
import { answerWithStatus, type CallStatus, RESPONSE_HEADERS } from "./http2-status.ts";
import { claimedBytes, framed, oneMessageOf, PREFIX_BYTES } from "./message-frame.ts";

/** A unary method's handler, whatever its messages. */
export type AnyUnaryHandler = UnaryHandler<unknown, unknown>;

/** Takes a call over from HTTP/2. */
export type StreamHandler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** Headers go out with the message: a date in each costs more than anybody has of it. */
const RESPONSE_OPTIONS = { waitForTrailers: true, sendDate: false };

const OK_TRAILERS = { "grpc-status": "0" };

/**
 * Serves one unary method on the HTTP/2 stream itself. grpc-js does the same for every method, and takes some 20 µs of
 * processor time more for a call, so this is for those that come by the ten thousand a second. The handler is the same
 * for both. Requests of more than `maxBytes` are refused.
 */
export function directUnary(
  method: Pick<MethodDefinition<unknown, unknown>, "requestDeserialize" | "responseSerialize">,
  handle: AnyUnaryHandler,
  maxBytes: number,
): StreamHandler {
  return (stream, headers) => {
    const call = new DirectCall(stream, timeoutMsOf(headers), maxBytes, (bytes) => {
      const request = method.requestDeserialize(bytes);
      handle({ request, getDeadline: () => call.deadline }, (error, response) => {
        if (error !== null) call.fail(error);
        else call.respond(method.responseSerialize(response));
      });
    });
  };
}

/** One call, from its headers to its status. Answered once; what comes after its end is dropped. */
class DirectCall {
  /** Milliseconds since the epoch; Infinity for none. */
  readonly deadline: Deadline;
  readonly #stream: ServerHttp2Stream;
  readonly #maxBytes: number;
  readonly #onRequest: (bytes: Buffer) => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #isDone = false;

  constructor(
    stream: ServerHttp2Stream,
    timeoutMs: number | undefined,
    maxBytes: number,
    onRequest: (bytes: Buffer) => void,
  ) {
    this.#stream = stream;
    this.#maxBytes = maxBytes;
    this.#onRequest = onRequest;
    this.deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs;
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => this.fail({ code: status.DEADLINE_EXCEEDED, details: "Deadline exceeded" }), timeoutMs);
    // "close" follows, and there is nobody to tell.
    stream.on("error", () => {});
    stream.once("close", () => {
      clearTimeout(timer);
      this.#isDone = true;
    });
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    stream.once("end", () => this.#onEnd());
  }

  respond(message: Uint8Array): void {
    if (!this.#finish()) return;
    const stream = this.#stream;
    stream.once("wantTrailers", () => stream.sendTrailers(OK_TRAILERS));
    stream.respond(RESPONSE_HEADERS, RESPONSE_OPTIONS);
    stream.end(framed(message));
  }

  fail(error: CallStatus): void {
    if (this.#finish()) answerWithStatus(this.#stream, error);
  }

  #take(chunk: Buffer): void {
    if (this.#isDone) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    // What a message claims is refused before it comes.
    const claimed = this.#chunks.length === 1 ? claimedBytes(chunk) : 0;
    if (Math.max(claimed, this.#bytes - PREFIX_BYTES) <= this.#maxBytes) return;
    this.#chunks.length = 0;
    this.fail({ code: status.RESOURCE_EXHAUSTED, details: `a message has at most ${this.#maxBytes} bytes` });
  }

  #onEnd(): void {
    // A call that was reset, or that the front door gave up on, ends as well, but asks for nothing.
    if (this.#isDone || this.#stream.aborted || this.#stream.closed) return;
    const chunks = this.#chunks.splice(0);
    const [first] = chunks;
    const bytes = first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks);
    const message = oneMessageOf(bytes);
    if (message === undefined) {
      return this.fail({
        code: status.UNIMPLEMENTED,
        details: "a unary call has one message, whole and not compressed",
      });
    }
    this.#onRequest(message);
  }

  /** Whether this is the first answer and there is still somebody to get it. */
  #finish(): boolean {
    if (this.#isDone) return false;
    this.#isDone = true;
    return !this.#stream.destroyed && !this.#stream.closed;
  }
}
