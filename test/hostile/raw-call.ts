import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { Metadata } from "@grpc/grpc-js";
import type { Failure } from "../../src/failure.ts";
import { failureFrom } from "../../src/grpc/status.ts";

/** How a call ended. */
export interface CallEnd {
  /** The gRPC status; undefined when there was none. */
  readonly code: number | undefined;
  readonly details: string;
  /** What the status carries, when it is one of ours. */
  readonly failure: Failure | undefined;
  /** The HTTP/2 code of a reset, 0 for an orderly end. */
  readonly rstCode: number;
}

/** A call on a stream of its own, written by hand. */
export class RawCall {
  readonly stream: ClientHttp2Stream;
  readonly ended: Promise<CallEnd>;
  #hasHeaders = false;
  #hasStatus = false;

  constructor(session: ClientHttp2Session, path: string, headers: Readonly<Record<string, string>> = {}) {
    this.stream = session.request(
      { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers", ...headers },
      { endStream: false },
    );
    let last: Readonly<Record<string, unknown>> = {};
    const note = (received: Readonly<Record<string, unknown>>): void => {
      this.#hasHeaders = true;
      if (received["grpc-status"] === undefined) return;
      this.#hasStatus = true;
      last = received;
    };
    this.stream.on("response", note);
    this.stream.on("trailers", note);
    this.stream.on("error", () => {});
    this.ended = new Promise((resolve) => {
      this.stream.on("close", () => resolve(endOf(last, this.stream.rstCode)));
    });
  }

  /** Whether anything was answered. */
  get hasHeaders(): boolean {
    return this.#hasHeaders;
  }

  /** Whether a stream has begun and not ended. */
  get isServed(): boolean {
    return this.#hasHeaders && !this.#hasStatus;
  }

  /** Sends a message, well framed, and ends the request. */
  finish(message: Uint8Array = new Uint8Array(0)): Promise<CallEnd> {
    this.stream.resume();
    this.stream.end(framed(message));
    return this.ended;
  }

  cancel(): void {
    this.stream.close(constants.NGHTTP2_CANCEL);
  }
}

export function framed(message: Uint8Array, flag = 0, length = message.length): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flag);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, message]);
}

/** An HTTP/2 connection that takes note of nothing when it breaks. */
export function openSession(address: string): ClientHttp2Session {
  return connect(`http://${address}`).on("error", () => {});
}

/** A bare connection, and whether it is open. */
export class RawSocket {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  isOpen = true;
  readonly closed: Promise<void>;

  constructor(address: string) {
    const [host, port] = address.split(":");
    this.socket = connectSocket(Number(port), host ?? "");
    this.socket.on("error", () => {});
    this.socket.on("data", (bytes) => {
      this.received = Buffer.concat([this.received, bytes]);
    });
    this.closed = new Promise((resolve) => {
      this.socket.on("close", () => {
        this.isOpen = false;
        resolve();
      });
    });
  }
}

function endOf(headers: Readonly<Record<string, unknown>>, rstCode: number | undefined): CallEnd {
  const details = decodeURI(String(headers["grpc-message"] ?? ""));
  const metadata = new Metadata();
  const trailer = headers["grpc-status-details-bin"];
  if (typeof trailer === "string") metadata.set("grpc-status-details-bin", Buffer.from(trailer, "base64"));
  const code = headers["grpc-status"] === undefined ? undefined : Number(headers["grpc-status"]);
  return { code, details, failure: failureFrom({ details, metadata }), rstCode: rstCode ?? 0 };
}
