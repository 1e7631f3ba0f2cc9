import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Handshake as ProtoHandshake } from "../../gen/raft/v1/raft_pb.js";
import { Failure } from "../failure.ts";
import type { NodeId } from "../raft/types.ts";
import { type CallContext, StreamReader, StreamWriter, type WriteLimits, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { type Handshakes, isRefusal } from "./handshakes.ts";

/** How long a peer may take until its handshake is accepted. */
const HANDSHAKE_TIMEOUT_MS = 5_000;

const PEER_LIMITS: WriteLimits = { bytes: 16 * 1024 * 1024, messages: 1_024 };

export interface IncomingOptions<I, O> {
  readonly context: CallContext;
  readonly handshakes: Handshakes;
  readonly handshakeOf: (request: I) => ProtoHandshake | undefined;
  /** The message with which this node's own handshake is sent. */
  readonly introduction: (handshake: ProtoHandshake) => O;
  /** The sender is who it says and is accepted. */
  readonly onAccepted: (stream: IncomingStream<I, O>, sender: NodeId) => void;
  /** Every message but the first. What it throws ends the stream. */
  readonly onMessage: (stream: IncomingStream<I, O>, message: I, sender: NodeId) => void;
  readonly onEnd: (stream: IncomingStream<I, O>, sender: NodeId) => void;
}

/** The server's side of a stream that another node dialed: handshake first, then messages. */
export class IncomingStream<I, O> {
  readonly #options: IncomingOptions<I, O>;
  readonly #reader: StreamReader;
  readonly #writer: StreamWriter<O>;
  readonly #timer: NodeJS.Timeout;
  #sender: NodeId | undefined;

  constructor(options: IncomingOptions<I, O>, call: ServerDuplexStream<I | Malformed, O>) {
    this.#options = options;
    this.#reader = new StreamReader(call);
    this.#writer = new StreamWriter(call, options.context.translator, () => {}, PEER_LIMITS);
    options.context.streams.add(call, (failure) => this.#writer.fail(failure));
    this.#timer = setTimeout(() => {
      this.#writer.fail(new Failure("INVALID_ARGUMENT", `no handshake within ${HANDSHAKE_TIMEOUT_MS} ms`));
    }, HANDSHAKE_TIMEOUT_MS);
    call.on("data", (message: I | Malformed) => this.#onData(message));
    call.on("end", () => this.#writer.end());
    call.once("cancelled", () => {
      clearTimeout(this.#timer);
      if (this.#sender !== undefined) options.onEnd(this, this.#sender);
    });
  }

  /** False when the message was dropped, as too much waits already or the stream has ended. */
  maybeWrite(message: O, bytes: number): boolean {
    if (!this.#writer.ready) return false;
    this.#writer.write(message, bytes);
    return true;
  }

  /** Ends the stream for good reasons, such as a newer one of the same sender. What still comes in is ignored. */
  end(): void {
    this.#writer.end();
  }

  pause(): void {
    this.#reader.pause();
  }

  resume(): void {
    this.#reader.resume();
  }

  #onData(message: I | Malformed): void {
    if (this.#writer.ended) return;
    try {
      const wellFormedMessage = wellFormed(message);
      if (this.#sender === undefined) this.#onFirst(wellFormedMessage);
      else this.#options.onMessage(this, wellFormedMessage, this.#sender);
    } catch (error) {
      this.#writer.fail(error);
    }
  }

  #onFirst(message: I): void {
    const { handshakes, handshakeOf, introduction, onAccepted } = this.#options;
    this.#reader.pause();
    handshakes.judge(handshakeOf(message), undefined, (result) => {
      if (this.#writer.ended) return;
      if (isRefusal(result)) return this.#writer.fail(result);
      clearTimeout(this.#timer);
      this.#sender = result.sender;
      this.#writer.write(introduction(handshakes.own(result.sender)), 0);
      onAccepted(this, result.sender);
      this.#reader.resume();
    });
  }
}
