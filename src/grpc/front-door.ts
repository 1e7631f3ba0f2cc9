import {
  constants,
  type Http2Server,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { Server, ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { assert } from "../assert.ts";
import { Failure } from "../failure.ts";
import { faultOfHeaders, shortenTimeout } from "./call-headers.ts";
import { type AnyUnaryHandler, directUnary, type StreamHandler } from "./direct-unary.ts";
import { answerWithStatus } from "./http2-status.ts";
import { MAX_RECEIVE_BYTES } from "./listener.ts";
import type { Log } from "./log.ts";
import { Refusals } from "./refusals.ts";
import { callErrorOf, type LeaderHint } from "./status.ts";
import { type Arriving, Unfinished, UnfinishedRequest } from "./unfinished.ts";

/** What strangers may hold on one listener. */
export interface FrontDoorLimits {
  /** Connections, on each address. More are closed as they come. */
  readonly maxConnections: number;
  /** Calls of all kinds that are open at a time, over all connections. */
  readonly maxCalls: number;
  /** Of these, calls that stream. One connection may have half of them. */
  readonly maxStreams: number;
}

export interface FrontDoorOptions {
  readonly limits: FrontDoorLimits;
  /** What a refused caller is told of the leader. */
  readonly leader: () => LeaderHint | undefined;
  readonly log: Log;
  readonly nowMs: () => number;
}

/** From a call's begin, or a message's, until it is there whole. */
const ARRIVAL_TIMEOUT_MS = 60_000;

/** All messages that have begun and aren't there whole yet. */
const MAX_UNFINISHED_BYTES = 64 * 1024 * 1024;

/** How long the other side may keep a stream that this side has ended. */
const LINGER_MS = 5_000;

const SWEEP_MS = 1_000;

const UNKNOWN_METHOD = { isStream: false, isRequestStream: false };

interface OpenCall {
  readonly openedMs: number;
  /** Whether messages may come at any time; otherwise there is one to come, at once. */
  readonly isRequestStream: boolean;
  readonly unfinished: Arriving;
  /** Since when a message has been arriving; undefined for none. */
  arrivingSinceMs: number | undefined;
  /** Since when this side has been done; undefined while it isn't. */
  doneSinceMs: number | undefined;
}

/**
 * Stands between a listener's connections and grpc-js, which takes any number of them, of calls, and of bytes that never
 * become a message. Whoever is refused gets a status, where there is a call to give it to.
 */
export class FrontDoor {
  readonly #options: FrontDoorOptions;
  readonly #refusals: Refusals;
  readonly #methods = new Map<string, { readonly isStream: boolean; readonly isRequestStream: boolean }>();
  readonly #direct = new Map<string, StreamHandler>();
  readonly #calls = new Map<ServerHttp2Stream, OpenCall>();
  readonly #streamsOf = new WeakMap<Http2Session, number>();
  #streams = 0;
  #unfinishedBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FrontDoorOptions) {
    this.#options = options;
    this.#refusals = new Refusals(options.log, options.nowMs, 1);
  }

  /** `server`, whose services are taken note of as they are added. */
  seeing(server: Server): Pick<Server, "addService"> {
    return {
      addService: (definition: ServiceDefinition, implementation) => {
        for (const { path, requestStream, responseStream } of Object.values(definition)) {
          this.#methods.set(path, { isStream: requestStream || responseStream, isRequestStream: requestStream });
        }
        server.addService(definition, implementation);
      },
    };
  }

  /** Has a service's unary methods of these names served without grpc-js, which knows them as well. */
  serve(definition: ServiceDefinition, implementation: UntypedServiceImplementation, names: readonly string[]): void {
    for (const name of names) {
      const { [name]: method } = definition;
      const { [name]: handle } = implementation;
      assert(method !== undefined && handle !== undefined, `there is no method ${name} to serve`);
      this.#direct.set(method.path, directUnary(method, handle as AnyUnaryHandler, MAX_RECEIVE_BYTES));
    }
  }

  /** Guards all addresses that `server` listens on by now. */
  guard(server: Server): void {
    for (const http2Server of http2ServersOf(server)) {
      http2Server.maxConnections = this.#options.limits.maxConnections;
      http2Server.on("drop", (dropped) => this.#onDrop(dropped));
      const [grpcJs, ...others] = http2Server.listeners("stream") as StreamHandler[];
      assert(grpcJs !== undefined && others.length === 0, "grpc-js is who listens to the streams");
      http2Server.removeAllListeners("stream");
      http2Server.on("stream", (stream, headers) => {
        const call = this.#admit(stream, headers);
        if (call === undefined) return;
        const handle = this.#directHandlerOf(headers) ?? grpcJs;
        handle(stream, headers);
        // Only now that the stream is in good hands does one listener more set nothing in motion.
        stream.on("data", (chunk: Buffer) => this.#onData(stream, call, chunk));
      });
    }
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** What is no gRPC is refused by grpc-js. */
  #directHandlerOf(headers: IncomingHttpHeaders): StreamHandler | undefined {
    if (headers["content-type"]?.startsWith("application/grpc") !== true) return undefined;
    return this.#direct.get(headers[":path"] ?? "");
  }

  #onDrop(dropped: { readonly remoteAddress?: string } | undefined): void {
    const { maxConnections } = this.#options.limits;
    this.#refusals.note("refused a connection", { from: dropped?.remoteAddress, maxConnections });
  }

  /** The call, when grpc-js may have it. Otherwise it has been answered. */
  #admit(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): OpenCall | undefined {
    const { session } = stream;
    // Reset before we got to hear of it.
    if (stream.destroyed || session === undefined) return undefined;
    const { isStream, isRequestStream } = this.#methods.get(headers[":path"] ?? "") ?? UNKNOWN_METHOD;
    const failure = this.#refusal(session, isStream) ?? faultOfHeaders(headers);
    if (failure !== undefined) {
      this.#refuse(stream, failure);
      if (failure.reason === "OVERLOADED") this.#refusals.note("refused a call", { detail: failure.message });
      return undefined;
    }
    shortenTimeout(headers);
    return this.#open(stream, session, isStream, isRequestStream);
  }

  #refusal(session: Http2Session, isStream: boolean): Failure | undefined {
    const { maxCalls, maxStreams } = this.#options.limits;
    if (this.#calls.size >= maxCalls) return tooMany(`this node has ${maxCalls} calls open already`, maxCalls);
    if (!isStream) return undefined;
    if (this.#streams >= maxStreams) return tooMany(`this node serves ${maxStreams} streams already`, maxStreams);
    const share = Math.ceil(maxStreams / 2);
    if ((this.#streamsOf.get(session) ?? 0) < share) return undefined;
    return tooMany(`this connection has ${share} streams open already, half of all that there may be`, share);
  }

  #open(stream: ServerHttp2Stream, session: Http2Session, isStream: boolean, isRequestStream: boolean): OpenCall {
    const unfinished = isRequestStream ? new Unfinished() : new UnfinishedRequest();
    const call: OpenCall = {
      openedMs: this.#options.nowMs(),
      isRequestStream,
      unfinished,
      arrivingSinceMs: undefined,
      doneSinceMs: undefined,
    };
    this.#calls.set(stream, call);
    if (isStream) this.#countStream(session, 1);
    if (unfinished instanceof UnfinishedRequest) stream.once("end", () => this.#onWhole(unfinished));
    stream.once("close", () => {
      this.#calls.delete(stream);
      if (isStream) this.#countStream(session, -1);
      this.#unfinishedBytes -= call.unfinished.bytes;
    });
    return call;
  }

  /** From here on the request is in the node's hands, with bounds of their own. */
  #onWhole(request: UnfinishedRequest): void {
    this.#unfinishedBytes -= request.bytes;
    request.finish();
  }

  #countStream(session: Http2Session, change: 1 | -1): void {
    this.#streams += change;
    this.#streamsOf.set(session, (this.#streamsOf.get(session) ?? 0) + change);
  }

  #onData(stream: ServerHttp2Stream, call: OpenCall, chunk: Buffer): void {
    const before = call.unfinished.bytes;
    call.unfinished.take(chunk);
    const { bytes } = call.unfinished;
    this.#unfinishedBytes += bytes - before;
    if (bytes === 0) call.arrivingSinceMs = undefined;
    else call.arrivingSinceMs ??= this.#options.nowMs();
    if (bytes <= before || this.#unfinishedBytes <= MAX_UNFINISHED_BYTES) return;
    this.#giveUp(stream, tooMany("too much is on its way to this node at a time", MAX_UNFINISHED_BYTES));
  }

  #sweep(): void {
    const nowMs = this.#options.nowMs();
    for (const [stream, call] of this.#calls) {
      if (stream.writableEnded) {
        call.doneSinceMs ??= nowMs;
        if (nowMs - call.doneSinceMs >= LINGER_MS) cutOff(stream);
      } else if (isOverdue(stream, call, nowMs)) {
        const failure = new Failure(
          "INVALID_ARGUMENT",
          `a message has to be there whole within ${ARRIVAL_TIMEOUT_MS} ms`,
        );
        this.#giveUp(stream, failure);
      }
    }
  }

  #giveUp(stream: ServerHttp2Stream, failure: Failure): void {
    this.#refusals.note("gave up on a call", { detail: failure.message });
    if (stream.headersSent) cutOff(stream);
    else this.#refuse(stream, failure);
  }

  /** Answers with a status, and takes nothing more. */
  #refuse(stream: ServerHttp2Stream, failure: Failure): void {
    stream.on("error", () => {});
    answerWithStatus(stream, callErrorOf(failure, this.#options.leader()));
  }
}

function isOverdue(stream: ServerHttp2Stream, call: OpenCall, nowMs: number): boolean {
  // grpc-js reads until it has the end, so what isn't read is not there.
  if (!call.isRequestStream) return !stream.readableEnded && nowMs - call.openedMs >= ARRIVAL_TIMEOUT_MS;
  // It is this node that doesn't read on.
  if (call.arrivingSinceMs !== undefined && stream.isPaused()) call.arrivingSinceMs = nowMs;
  return nowMs - (call.arrivingSinceMs ?? nowMs) >= ARRIVAL_TIMEOUT_MS;
}

/** A status can't be sent any more. Clients make RESOURCE_EXHAUSTED of this. */
function cutOff(stream: ServerHttp2Stream): void {
  stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
}

function tooMany(message: string, limit: number): Failure {
  return new Failure("OVERLOADED", message, { metadata: { limit: String(limit) }, retryAfterMs: 1_000 });
}

/** grpc-js gives nobody the HTTP/2 servers beneath it, and has no limits of its own. */
function http2ServersOf(server: Server): Iterable<Http2Server> {
  const { http2Servers } = server as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> };
  assert(http2Servers !== undefined && http2Servers.size > 0, "grpc-js keeps its HTTP/2 servers elsewhere");
  return http2Servers.keys();
}
