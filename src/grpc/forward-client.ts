import { create } from "@bufbuild/protobuf";
import type { Client } from "@grpc/grpc-js";
import {
  type ForwardRequest,
  ForwardRequestSchema,
  type ForwardResponse,
  RaftService,
} from "../../gen/raft/v1/raft_pb.js";
import { Failure } from "../failure.ts";
import type * as port from "../node/transport.ts";
import type { NodeId } from "../raft/types.ts";
import { methodDefinition } from "./definition.ts";
import { DialedStream, type StreamEnd } from "./dialed-stream.ts";
import { fromForwardResponse, toForwardRequest } from "./forward-codec.ts";
import type { Handshakes } from "./handshakes.ts";
import { invalidArgument } from "./uint64.ts";

/** How long a request waits for the stream to open. */
const OPEN_TIMEOUT_MS = 1_000;

const REOPEN_DELAY_MS = 50;

/** After a refusal there is nothing to be gained from asking again at once. */
const REFUSED_DELAY_MS = 1_000;

/** Requests and their bytes, waiting and outstanding. */
const MAX_REQUESTS = 1_024;
const MAX_BYTES = 32 * 1024 * 1024;

const REQUEST_OVERHEAD_BYTES = 64;
/** An upper bound of what a command's conditions take. */
const CONDITIONS_BYTES = 90;

type Done = (outcome: port.ForwardOutcome) => void;

interface Waiting {
  readonly request: port.ForwardRequest;
  readonly bytes: number;
  readonly done: Done;
  readonly timer: NodeJS.Timeout;
}

const METHOD = methodDefinition(RaftService.method.forward);

/** This node's requests to one other member, while that leads. The stream is opened by the first request. */
export class ForwardClient {
  readonly #client: () => Client;
  readonly #member: NodeId;
  readonly #handshakes: Handshakes;
  #stream: DialedStream<ForwardRequest, ForwardResponse> | undefined;
  #reopenTimer: NodeJS.Timeout | undefined;
  #refused = false;
  #closed = false;
  #nextId = 1n;
  /** In the order in which they came; sent in that order once the stream is open. */
  readonly #waiting = new Set<Waiting>();
  readonly #outstanding = new Map<bigint, { readonly done: Done; readonly bytes: number }>();
  #bytes = 0;

  constructor(client: () => Client, member: NodeId, handshakes: Handshakes) {
    this.#client = client;
    this.#member = member;
    this.#handshakes = handshakes;
  }

  forward(request: port.ForwardRequest, done: Done): void {
    if (this.#closed || this.#refused) return queueMicrotask(() => done({ kind: "notSent" }));
    const bytes = sizeOf(request);
    const requests = this.#waiting.size + this.#outstanding.size;
    if (requests >= MAX_REQUESTS || this.#bytes + bytes > MAX_BYTES) {
      return queueMicrotask(() => done({ kind: "failed", failure: tooManyRequests() }));
    }
    this.#bytes += bytes;
    if (this.#stream?.open) {
      if (this.#send(request, bytes, done)) return;
      this.#bytes -= bytes;
      return queueMicrotask(() => done({ kind: "failed", failure: tooManyRequests() }));
    }
    this.#wait(request, bytes, done);
    if (this.#stream === undefined && this.#reopenTimer === undefined) this.#open();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#reopenTimer);
    this.#stream?.close();
    this.giveUpWaiting();
  }

  #wait(request: port.ForwardRequest, bytes: number, done: Done): void {
    const timer = setTimeout(() => this.#notSent(waiting), OPEN_TIMEOUT_MS);
    const waiting: Waiting = { request, bytes, done, timer };
    this.#waiting.add(waiting);
  }

  #notSent(waiting: Waiting): void {
    if (!this.#waiting.delete(waiting)) return;
    clearTimeout(waiting.timer);
    this.#bytes -= waiting.bytes;
    waiting.done({ kind: "notSent" });
  }

  /** What has not been sent won't be. */
  giveUpWaiting(): void {
    for (const waiting of [...this.#waiting]) this.#notSent(waiting);
  }

  #open(): void {
    this.#stream = new DialedStream<ForwardRequest, ForwardResponse>({
      client: this.#client(),
      method: METHOD,
      member: this.#member,
      handshakes: this.#handshakes,
      introduction: (handshake) => create(ForwardRequestSchema, { handshake }),
      handshakeOf: (response) => response.handshake,
      onOpen: () => this.#onOpen(),
      onMessage: (response) => this.#onResponse(response),
      onEnd: (end) => this.#onEnd(end),
    });
  }

  #onOpen(): void {
    for (const waiting of [...this.#waiting]) {
      if (!this.#send(waiting.request, waiting.bytes, waiting.done)) return this.giveUpWaiting();
      clearTimeout(waiting.timer);
      this.#waiting.delete(waiting);
    }
  }

  #send(request: port.ForwardRequest, bytes: number, done: Done): boolean {
    const id = this.#nextId;
    if (this.#stream?.maybeWrite(toForwardRequest(id, request), bytes) !== true) return false;
    this.#nextId += 1n;
    this.#outstanding.set(id, { done, bytes });
    return true;
  }

  #onResponse(response: ForwardResponse): void {
    const outstanding = this.#outstanding.get(response.id);
    if (outstanding === undefined) throw invalidArgument("id", `${response.id} is not outstanding`);
    const outcome = fromForwardResponse(response);
    this.#outstanding.delete(response.id);
    this.#bytes -= outstanding.bytes;
    outstanding.done(outcome);
  }

  #onEnd({ refused }: StreamEnd): void {
    this.#stream = undefined;
    this.#refused = refused;
    const lost = [...this.#outstanding.values()];
    this.#outstanding.clear();
    for (const { bytes } of lost) this.#bytes -= bytes;
    for (const { done } of lost) done({ kind: "lost" });
    if (refused) this.giveUpWaiting();
    if (this.#closed) return;
    this.#reopenTimer = setTimeout(
      () => {
        this.#reopenTimer = undefined;
        this.#refused = false;
        if (this.#waiting.size > 0) this.#open();
      },
      refused ? REFUSED_DELAY_MS : REOPEN_DELAY_MS,
    );
  }
}

function sizeOf(request: port.ForwardRequest): number {
  if (request.kind === "readIndex") return REQUEST_OVERHEAD_BYTES;
  const perCommand = 4 + (request.conditions === undefined ? 0 : CONDITIONS_BYTES);
  return request.commands.reduce((sum, command) => sum + command.length + perCommand, REQUEST_OVERHEAD_BYTES);
}

function tooManyRequests(): Failure {
  return new Failure("OVERLOADED", "too many requests wait for the leader", { retryAfterMs: 50 });
}
