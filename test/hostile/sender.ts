import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { connect as connectSocket } from "node:net";
import { bodyOf, type Case, type GrpcCase, type RawCase } from "./cases.ts";
import type { ListenerName } from "./services.ts";

/** The outcome of a call that should have been answered. */
export const NO_ANSWER = "NO ANSWER";

/** Where a node listens, host:port. */
export interface Target {
  readonly client: string;
  readonly peer: string;
  readonly http: string;
}

/** What came of a case: a gRPC status as `status N`, or how its stream or connection ended. */
export interface Result {
  readonly outcome: string;
  readonly details: string;
}

/** An answer that has to come comes within this; what may stay open is left to itself for a moment only. */
const ANSWER_TIMEOUT_MS = 20_000;
const LISTEN_MS = 40;

/** Node's own client may stop reading a connection whose server has gone away; its streams then never close. */
const CLOSE_TIMEOUT_MS = 2_000;

/** Calls on one connection, until it is replaced: so connections come and go, too. */
const CALLS_PER_SESSION = 500;

/** What is put around the messages of a member: its handshake, and the fields without which nothing is looked at. */
export type Disguise = (one: GrpcCase & { readonly node: number }) => readonly Uint8Array[];

/**
 * Sends cases, through node:http2 or a bare socket: a gRPC client would refuse to send most of them, and costs several
 * times as much.
 */
export class Sender {
  readonly #targets: readonly Target[];
  readonly #disguise: Disguise;
  readonly #onBody: (path: string, body: Uint8Array) => void;
  readonly #sessions = new Map<string, { readonly session: ClientHttp2Session; calls: number }>();

  /** `onBody` is told what is sent as a call. */
  constructor(targets: readonly Target[], disguise: Disguise, onBody: (path: string, body: Uint8Array) => void) {
    this.#targets = targets;
    this.#disguise = disguise;
    this.#onBody = onBody;
  }

  send(one: Case): Promise<Result> {
    return one.kind === "raw" ? this.#sendRaw(one) : this.#callAgain(one);
  }

  close(): void {
    for (const { session } of this.#sessions.values()) session.destroy();
  }

  /** A call without the answer that is due is made once more, on another connection: the fault may be this client's. */
  async #callAgain(one: GrpcCase & { readonly node: number }): Promise<Result> {
    const first = await this.#call(one);
    if (first.outcome !== NO_ANSWER) return first;
    const key = keyOf(one.node, one.rpc.listener);
    this.#sessions.get(key)?.session.destroy();
    this.#sessions.delete(key);
    return this.#call(one);
  }

  #call(one: GrpcCase & { readonly node: number }): Promise<Result> {
    const messages = one.accepted ? this.#disguise(one) : one.messages.map((message) => message.bytes);
    const body = bodyOf(messages, one.body);
    this.#onBody(one.rpc.path, body);
    const mustEnd = isAnswered(one);
    return new Promise((resolve) => {
      let outcome = "";
      let details = "";
      const note = (headers: Readonly<Record<string, unknown>>): void => {
        if (headers[":status"] !== undefined && headers[":status"] !== 200) outcome = `HTTP ${headers[":status"]}`;
        if (headers["grpc-status"] === undefined) return;
        outcome = `status ${headers["grpc-status"]}`;
        details = String(headers["grpc-message"] ?? "");
      };
      let stream: ClientHttp2Stream;
      try {
        stream = this.#session(one.node, one.rpc.listener).request(
          { ":method": "POST", ":path": one.rpc.path, ...one.headers },
          { endStream: false },
        );
      } catch (error) {
        resolve({ outcome: "not sent", details: String(error) });
        return;
      }
      const giveUp = (): void => {
        if (outcome === "") outcome = mustEnd ? NO_ANSWER : "left open";
        stream.close(constants.NGHTTP2_CANCEL);
        timer = setTimeout(() => {
          stream.destroy();
          resolve({ outcome, details });
        }, CLOSE_TIMEOUT_MS);
      };
      let timer = setTimeout(giveUp, mustEnd ? ANSWER_TIMEOUT_MS : LISTEN_MS);
      stream.on("response", note);
      stream.on("trailers", note);
      stream.on("error", (error) => {
        if (outcome === "") details = error.message;
      });
      stream.on("close", () => {
        clearTimeout(timer);
        resolve({ outcome: outcome === "" ? `reset ${stream.rstCode}` : outcome, details });
      });
      stream.resume();
      writeBody(stream, body, one);
    });
  }

  #session(node: number, listener: ListenerName): ClientHttp2Session {
    const key = keyOf(node, listener);
    const open = this.#sessions.get(key);
    if (open !== undefined && !open.session.closed && !open.session.destroyed && open.calls < CALLS_PER_SESSION) {
      open.calls += 1;
      return open.session;
    }
    // What is under way on the old one goes on.
    open?.session.close();
    const session = connect(`http://${this.#targets[node]?.[listener]}`);
    session.on("error", () => {});
    this.#sessions.set(key, { session, calls: 1 });
    return session;
  }

  #sendRaw(one: RawCase & { readonly node: number }): Promise<Result> {
    const [host, port] = (this.#targets[one.node]?.[one.listener] ?? "").split(":");
    return new Promise((resolve) => {
      const socket = connectSocket(Number(port), host ?? "");
      let received = 0;
      let outcome = "left open";
      const timer = setTimeout(() => socket.destroy(), LISTEN_MS);
      socket.on("connect", () => socket.write(one.bytes));
      socket.on("data", (bytes) => {
        received += bytes.length;
      });
      socket.on("error", () => {
        outcome = "connection reset";
      });
      socket.on("end", () => {
        outcome = "connection closed";
      });
      socket.on("close", () => {
        clearTimeout(timer);
        resolve({ outcome: received > 0 ? `${outcome}, answered` : outcome, details: "" });
      });
    });
  }
}

function keyOf(node: number, listener: ListenerName): string {
  return `${node}/${listener}`;
}

function writeBody(stream: ClientHttp2Stream, body: Uint8Array, { body: framing, end }: GrpcCase): void {
  if (framing === "split" && body.length > 1) {
    // In two pieces, cut inside the first prefix.
    stream.write(body.subarray(0, 3));
    setImmediate(() => {
      if (stream.destroyed) return;
      finish(stream, body.subarray(3), end);
    });
    return;
  }
  finish(stream, body, end);
}

function finish(stream: ClientHttp2Stream, body: Uint8Array, end: GrpcCase["end"]): void {
  if (end === "halfClose") {
    stream.end(body);
    return;
  }
  stream.write(body);
  if (end === "reset") setImmediate(() => stream.close(constants.NGHTTP2_CANCEL));
}

/** Whether the node owes this call its end: it has all there is to come, and doesn't wait for an event. */
function isAnswered({ rpc, end, accepted }: GrpcCase): boolean {
  if (end !== "halfClose" || accepted) return false;
  // Streams of events last; and a vote, where it is asked for by mistake in the right form, isn't always given.
  return !/ApplyStream|WatchState|Health\/Watch|RequestVote/.test(rpc.path);
}
