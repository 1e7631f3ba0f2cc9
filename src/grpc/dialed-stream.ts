import type { Client, ClientDuplexStream, MethodDefinition, StatusObject } from "@grpc/grpc-js";
import type { Handshake as ProtoHandshake } from "../../gen/raft/v1/raft_pb.js";
import { Failure } from "../failure.ts";
import type { NodeId } from "../raft/types.ts";
import { type Handshakes, isRefusal } from "./handshakes.ts";
import { failureFrom } from "./status.ts";

/** How long a member may take to accept this node, once it is connected. */
const HANDSHAKE_TIMEOUT_MS = 5_000;

/** What a stream may have handed to grpc-js that the connection has not taken yet. */
const MAX_UNSENT_MESSAGES = 1_024;
const MAX_UNSENT_BYTES = 16 * 1024 * 1024;

export interface DialOptions<I, O> {
  readonly client: Client;
  readonly method: MethodDefinition<unknown, unknown>;
  readonly member: NodeId;
  readonly handshakes: Handshakes;
  readonly introduction: (handshake: ProtoHandshake) => I;
  readonly handshakeOf: (response: O) => ProtoHandshake | undefined;
  /** Both sides have accepted each other. */
  readonly onOpen: () => void;
  /** Every message but the first. What it throws ends the stream. */
  readonly onMessage: (message: O) => void;
  /** Called once. What was written may be lost. */
  readonly onEnd: (end: StreamEnd) => void;
}

export interface StreamEnd {
  /** Whether the stream was open before. */
  readonly wasOpen: boolean;
  /** Whether one side refused the other. */
  readonly refused: boolean;
  /** For people. */
  readonly error: string;
}

/** The client's side of a stream to another member: handshake first, then messages. */
export class DialedStream<I, O> {
  readonly #options: DialOptions<I, O>;
  readonly #call: ClientDuplexStream<I, O>;
  #state: "opening" | "judging" | "open" | "ended" = "opening";
  /** Why this side ended it. */
  #reason: Failure | undefined;
  #timer: NodeJS.Timeout;
  #unsentMessages = 0;
  #unsentBytes = 0;

  constructor(options: DialOptions<I, O>) {
    this.#options = options;
    const { client, method, member, handshakes } = options;
    this.#call = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize as (message: I) => Buffer,
      method.responseDeserialize as (bytes: Buffer) => O,
    );
    this.#call.on("data", (message: O) => this.#onData(message));
    // "status" follows and says the same; without a listener the error would be thrown.
    this.#call.on("error", () => {});
    this.#call.once("status", (status: StatusObject) => this.#onStatus(status));
    this.#timer = setTimeout(() => {
      this.#cancel(new Failure("NOT_APPENDED", `no handshake within ${HANDSHAKE_TIMEOUT_MS} ms`));
    }, HANDSHAKE_TIMEOUT_MS);
    this.#call.write(options.introduction(handshakes.own(member)));
  }

  get open(): boolean {
    return this.#state === "open";
  }

  /** False when the stream is not open or too much waits to be sent already: then nothing was sent. */
  maybeWrite(message: I, bytes: number): boolean {
    if (this.#state !== "open") return false;
    if (this.#unsentMessages >= MAX_UNSENT_MESSAGES || this.#unsentBytes >= MAX_UNSENT_BYTES) return false;
    this.#unsentMessages += 1;
    this.#unsentBytes += bytes;
    this.#call.write(message, () => {
      this.#unsentMessages -= 1;
      this.#unsentBytes -= bytes;
    });
    return true;
  }

  /** Ends the stream; `onEnd` follows. */
  close(): void {
    this.#cancel(undefined);
  }

  #cancel(reason: Failure | undefined): void {
    if (this.#state === "ended") return;
    this.#reason ??= reason;
    this.#call.cancel();
  }

  #onData(message: O): void {
    // What is still on its way after this side gave up is not for anybody.
    if (this.#reason !== undefined || this.#state === "ended" || this.#state === "judging") return;
    if (this.#state === "opening") return this.#onFirst(message);
    try {
      this.#options.onMessage(message);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#cancel(error);
    }
  }

  #onFirst(message: O): void {
    this.#state = "judging";
    this.#call.pause();
    const { handshakes, handshakeOf, member } = this.#options;
    handshakes.judge(handshakeOf(message), member, (result) => {
      if (this.#state === "ended") return;
      if (isRefusal(result)) return this.#cancel(result);
      clearTimeout(this.#timer);
      this.#state = "open";
      handshakes.onMet(member);
      this.#options.onOpen();
      this.#call.resume();
    });
  }

  #onStatus(status: StatusObject): void {
    clearTimeout(this.#timer);
    const wasOpen = this.#state === "open";
    this.#state = "ended";
    const refusal = this.#reason === undefined ? failureFrom(status) : undefined;
    if (refusal !== undefined && !wasOpen) this.#options.handshakes.onRefusedBy(this.#options.member, refusal);
    const error = this.#reason?.message ?? (status.details || "the stream ended");
    this.#options.onEnd({ wasOpen, refused: !wasOpen && (this.#reason ?? refusal) !== undefined, error });
  }
}
