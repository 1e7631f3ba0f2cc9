import { create } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { type ForwardRequest, type ForwardResponse, ForwardResponseSchema } from "../../gen/raft/v1/raft_pb.js";
import type { TransportListener } from "../node/transport.ts";
import type { NodeId } from "../raft/types.ts";
import type { CallContext } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { fromForwardRequest, toForwardResponse } from "./forward-codec.ts";
import type { Handshakes } from "./handshakes.ts";
import { type IncomingOptions, IncomingStream } from "./incoming-stream.ts";

/** Requests of one stream without an answer: beyond it the stream isn't read. */
const MAX_OUTSTANDING = 1_024;

/** What an answer counts for among the bytes that wait to be sent. */
const RESPONSE_BYTES = 256;

type Stream = IncomingStream<ForwardRequest, ForwardResponse>;

/**
 * The Forward streams that other members opened to this node. A member's newer stream ends its older one, and nothing
 * that came on the older is taken any more: its proposals could otherwise be appended after later ones.
 */
export class ForwardServer {
  readonly #options: IncomingOptions<ForwardRequest, ForwardResponse>;
  readonly #listener: TransportListener;
  readonly #newest = new Map<NodeId, Stream>();
  readonly #outstanding = new WeakMap<Stream, number>();

  constructor(context: CallContext, handshakes: Handshakes, listener: TransportListener) {
    this.#listener = listener;
    this.#options = {
      context,
      handshakes,
      handshakeOf: (request) => request.handshake,
      introduction: (handshake) => create(ForwardResponseSchema, { handshake }),
      onAccepted: (stream, sender) => {
        this.#newest.get(sender)?.end();
        this.#newest.set(sender, stream);
      },
      onMessage: (stream, request, sender) => this.#onRequest(stream, request, sender),
      onEnd: (stream, sender) => {
        if (this.#newest.get(sender) === stream) this.#newest.delete(sender);
      },
    };
  }

  serve(call: ServerDuplexStream<ForwardRequest | Malformed, ForwardResponse>): void {
    new IncomingStream(this.#options, call);
  }

  #onRequest(stream: Stream, proto: ForwardRequest, sender: NodeId): void {
    const request = fromForwardRequest(proto);
    this.#count(stream, 1);
    this.#listener.onForward(sender, request, (outcome) => {
      this.#count(stream, -1);
      // An answer that can't be written ends the stream: its requests are lost to the sender, not forgotten.
      if (!stream.maybeWrite(toForwardResponse(proto.id, outcome), RESPONSE_BYTES)) stream.end();
    });
  }

  #count(stream: Stream, change: 1 | -1): void {
    const outstanding = (this.#outstanding.get(stream) ?? 0) + change;
    this.#outstanding.set(stream, outstanding);
    if (change === 1 && outstanding === MAX_OUTSTANDING) stream.pause();
    if (change === -1 && outstanding === MAX_OUTSTANDING - 1) stream.resume();
  }
}
