import type { Readable } from "node:stream";
import { type Deadline, Metadata } from "@grpc/grpc-js";
import { Failure } from "../failure.ts";
import { Malformed } from "./definition.ts";
import type { CallError, Translator } from "./status.ts";

/** What every handler of a listener shares. */
export interface CallContext {
  readonly translator: Translator;
  readonly streams: OpenStreams;
  /** The node's clock. */
  readonly nowMs: () => number;
}

/** The part of a server's stream that is the same for every kind. */
interface ServerStream {
  readonly cancelled: boolean;
  emit(event: "error", error: CallError): boolean;
  once(event: "cancelled", listener: () => void): unknown;
}

/** A grpc-js stream to which a server writes. */
export interface WritableCall<O> extends ServerStream {
  write(message: O, written: () => void): boolean;
  end(): void;
}

/** What a stream may have handed to grpc-js that the connection has not taken yet. */
export interface WriteLimits {
  readonly bytes: number;
  readonly messages: number;
}

const CLIENT_LIMITS: WriteLimits = { bytes: 1024 * 1024, messages: 16 };

/** What a unary handler may know of its call. */
export interface UnaryCall<I> {
  readonly request: I | Malformed;
  getDeadline(): Deadline;
}

/** Serves the calls of a unary method, by grpc-js or without it. */
export type UnaryHandler<I, O, C extends UnaryCall<I> = UnaryCall<I>> = (
  call: C,
  answer: (error: CallError | null, response?: O) => void,
) => void;

/**
 * A unary handler. `handle` answers once, with the response or the error; what it throws becomes a status, too. The
 * answer to a call that has ended is dropped.
 */
export function unary<I, O, C extends UnaryCall<I> = UnaryCall<I>>(
  context: CallContext,
  handle: (request: I, done: (result: O | Error) => void, call: C) => void,
): UnaryHandler<I, O, C> {
  return (call, answer) => {
    const fail = (error: unknown): void => answer(context.translator.callError(error));
    try {
      const request = wellFormed(call.request);
      handle(request, (result) => (result instanceof Error ? fail(result) : answer(null, result)), call);
    } catch (error) {
      fail(error);
    }
  };
}

/** The request, when its bytes could be read. Throws INVALID_ARGUMENT otherwise. */
export function wellFormed<I>(request: I | Malformed): I {
  if (!(request instanceof Malformed)) return request;
  if (request.cause instanceof Failure) throw request.cause;
  const cause = request.cause instanceof Error ? request.cause.message : String(request.cause);
  throw new Failure("INVALID_ARGUMENT", `the message can't be read: ${cause}`, { cause: request.cause });
}

/** When the caller stops waiting, on the node's clock; undefined for never. */
export function deadlineOnNodeClock(deadline: Deadline, nowMs: () => number): number | undefined {
  const atMs = Number(deadline);
  return Number.isFinite(atMs) ? nowMs() + (atMs - Date.now()) : undefined;
}

/** The streams that are open on a listener, so that a shutdown can end them. */
export class OpenStreams {
  readonly #streams = new Map<ServerStream, (failure: Failure) => void>();

  get size(): number {
    return this.#streams.size;
  }

  /** Remembers a stream until it has ended, in whatever way. `end` has to bring about its end. */
  add(call: ServerStream, end: (failure: Failure) => void): void {
    this.#streams.set(call, end);
    // grpc-js emits it at the end of every call, also of one that ended well.
    call.once("cancelled", () => this.#streams.delete(call));
  }

  endAll(failure: Failure): void {
    for (const end of [...this.#streams.values()]) end(failure);
  }
}

/**
 * The writing side of a server's stream, bounded in bytes: `write` of grpc-js says stop only after 16 messages of
 * whatever size. A client that does not read costs what stands here and no more.
 */
export class StreamWriter<O> {
  readonly #call: WritableCall<O>;
  readonly #translator: Translator;
  readonly #onReady: () => void;
  readonly #limits: WriteLimits;
  #unsentBytes = 0;
  #unsentMessages = 0;
  #ended = false;

  /** `onReady` is called when `ready` turns true again. Never after the end of the call. */
  constructor(call: WritableCall<O>, translator: Translator, onReady: () => void, limits = CLIENT_LIMITS) {
    this.#call = call;
    this.#translator = translator;
    this.#onReady = onReady;
    this.#limits = limits;
    call.once("cancelled", () => {
      this.#ended = true;
    });
  }

  get ready(): boolean {
    const { bytes, messages } = this.#limits;
    return !this.#ended && this.#unsentBytes < bytes && this.#unsentMessages < messages;
  }

  /** True once the call has ended or is ending. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Writes a message of about `bytes`. Dropped once the call has ended. */
  write(message: O, bytes: number): void {
    if (this.#ended) return;
    this.#unsentBytes += bytes;
    this.#unsentMessages += 1;
    this.#call.write(message, () => {
      const wasReady = this.ready;
      this.#unsentBytes -= bytes;
      this.#unsentMessages -= 1;
      if (!wasReady && this.ready) this.#onReady();
    });
  }

  /** Ends the call with OK, after what was written. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call.end();
  }

  /** Ends the call with an error, after what was written. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#call.emit("error", this.#translator.callError(error));
  }
}

/**
 * The reading side of a server's stream, so that it can be paused for good: a paused stream of grpc-js still reads 16
 * messages ahead, of whatever size.
 */
export class StreamReader {
  readonly #call: Readable;
  readonly #read: (size: number) => void;
  #waitingRead = false;

  constructor(call: Readable) {
    this.#call = call;
    this.#read = call._read.bind(call);
    call._read = (size) => {
      if (call.isPaused()) this.#waitingRead = true;
      else this.#read(size);
    };
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    if (!this.#call.isPaused()) return;
    this.#call.resume();
    if (!this.#waitingRead) return;
    this.#waitingRead = false;
    this.#read(1);
  }
}

/** Sends the headers now: a client can tell a stream that waits from one that hangs. */
export function sendHeaders(call: { sendMetadata(metadata: Metadata): void }): void {
  call.sendMetadata(new Metadata());
}
