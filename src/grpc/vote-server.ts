import type { ServerUnaryCall } from "@grpc/grpc-js";
import type {
  RequestVoteRequest as RequestVoteRequestProto,
  RequestVoteResponse as RequestVoteResponseProto,
} from "../../gen/raft/v1/raft_pb.js";
import { Failure } from "../failure.ts";
import type { TransportListener } from "../node/transport.ts";
import type { RequestVote, RequestVoteResponse } from "../raft/message.ts";
import type { NodeId } from "../raft/types.ts";
import { type CallContext, type UnaryHandler, unary } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { type Handshakes, isRefusal } from "./handshakes.ts";
import { fromRequestVote, toRequestVoteResponse } from "./message-codec.ts";
import { refuseMessage } from "./peer-error.ts";

/** Calls that wait for the core's answer. */
const MAX_WAITING = 256;

/** Candidates set a deadline of their own and give up earlier; this is for whoever doesn't. */
const ANSWER_TIMEOUT_MS = 5_000;

interface Waiting {
  readonly request: RequestVote;
  readonly done: (result: RequestVoteResponseProto | Error) => void;
}

type Call = ServerUnaryCall<RequestVoteRequestProto | Malformed, RequestVoteResponseProto>;

/**
 * RequestVote calls of candidates. The core answers, or doesn't, in its own time: an answer belongs to all calls of that
 * candidate for that election.
 */
export class VoteServer {
  readonly #handshakes: Handshakes;
  readonly #self: NodeId;
  readonly #listener: TransportListener;
  readonly #waiting = new Set<Waiting>();
  readonly serve: UnaryHandler<RequestVoteRequestProto, RequestVoteResponseProto, Call>;

  constructor(context: CallContext, handshakes: Handshakes, self: NodeId, listener: TransportListener) {
    this.#handshakes = handshakes;
    this.#self = self;
    this.#listener = listener;
    this.serve = unary(context, (proto, done, call) => {
      handshakes.judge(proto.handshake, undefined, (result) => {
        if (isRefusal(result)) return done(result);
        try {
          this.#ask(fromRequestVote(proto, result.sender, this.#self), done, call);
        } catch (error) {
          done(error instanceof Error ? error : new Error("not an error was thrown"));
        }
      });
    });
  }

  /** The core's answer. */
  send(response: RequestVoteResponse): void {
    for (const waiting of [...this.#waiting]) {
      const { request, done } = waiting;
      const sameElection = request.preVote === response.preVote && request.term === response.electionTerm;
      if (!sameElection || request.from !== response.to) continue;
      this.#waiting.delete(waiting);
      done(toRequestVoteResponse(response, this.#handshakes.own(request.from)));
    }
  }

  #ask(request: RequestVote, done: (result: RequestVoteResponseProto | Error) => void, call: Call): void {
    if (call.cancelled) return;
    if (this.#waiting.size >= MAX_WAITING) throw undecided("too many votes are being asked for");
    const waiting = { request, done };
    this.#waiting.add(waiting);
    const timer = setTimeout(() => {
      if (this.#waiting.delete(waiting)) done(undecided("the vote was not decided in time"));
    }, ANSWER_TIMEOUT_MS);
    // At the end of the call, whatever its end.
    call.once("cancelled", () => {
      clearTimeout(timer);
      this.#waiting.delete(waiting);
    });
    refuseMessage(this.#listener.onMessage(request));
  }
}

function undecided(message: string): Failure {
  return new Failure("OVERLOADED", message, { retryAfterMs: 100 });
}
