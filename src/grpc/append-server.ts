import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { TransportListener } from "../node/transport.ts";
import type * as message from "../raft/message.ts";
import type { NodeId } from "../raft/types.ts";
import { type AppendAnswer, type AppendRequest, introductionAnswer } from "./append-codec.ts";
import type { CallContext } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import type { Handshakes } from "./handshakes.ts";
import { type IncomingOptions, IncomingStream } from "./incoming-stream.ts";
import { fromAppendEntries, toAppendEntriesResponse } from "./message-codec.ts";
import { refuseMessage } from "./peer-error.ts";

/** An upper bound of an answer's bytes. */
const RESPONSE_BYTES = 80;

type Stream = IncomingStream<AppendRequest, AppendAnswer>;

/** The AppendEntries streams that other members hold open to this node, one for each. */
export class AppendServer {
  readonly #options: IncomingOptions<AppendRequest, AppendAnswer>;
  /** The newest of each sender: the older ones are ended. */
  readonly #streams = new Map<NodeId, Stream>();

  constructor(context: CallContext, handshakes: Handshakes, self: NodeId, listener: TransportListener) {
    this.#options = {
      context,
      handshakes,
      handshakeOf: ({ fields }) => fields.handshake,
      introduction: introductionAnswer,
      onAccepted: (stream, sender) => {
        this.#streams.get(sender)?.end();
        this.#streams.set(sender, stream);
      },
      onMessage: (_stream, request, sender) => {
        refuseMessage(listener.onMessage(fromAppendEntries(request, sender, self)));
      },
      onEnd: (stream, sender) => {
        if (this.#streams.get(sender) === stream) this.#streams.delete(sender);
      },
    };
  }

  serve(call: ServerDuplexStream<AppendRequest | Malformed, AppendAnswer>): void {
    new IncomingStream(this.#options, call);
  }

  /** Answers on the stream that the leader dialed; drops the answer when there is none. */
  send(response: message.AppendEntriesResponse): void {
    this.#streams.get(response.to)?.maybeWrite(toAppendEntriesResponse(response), RESPONSE_BYTES);
  }
}
