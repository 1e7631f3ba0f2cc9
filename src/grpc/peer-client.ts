import { type ChannelOptions, Client, credentials } from "@grpc/grpc-js";
import {
  RaftService,
  type RequestVoteRequest as RequestVoteRequestProto,
  type RequestVoteResponse as RequestVoteResponseProto,
} from "../../gen/raft/v1/raft_pb.js";
import { Failure } from "../failure.ts";
import type { ForwardOutcome, ForwardRequest, TransportListener } from "../node/transport.ts";
import type { AppendEntries, RequestVote } from "../raft/message.ts";
import type { NodeId } from "../raft/types.ts";
import { type AppendAnswer, type AppendRequest, entryCodecs, framesSize, introductionRequest } from "./append-codec.ts";
import type { PeerConnection } from "./cluster-service.ts";
import { methodDefinition } from "./definition.ts";
import { DialedStream, type StreamEnd } from "./dialed-stream.ts";
import { ForwardClient } from "./forward-client.ts";
import { type Handshakes, isRefusal } from "./handshakes.ts";
import type { Log } from "./log.ts";
import { fromAppendEntriesResponse, fromRequestVoteResponse, toAppendEntries, toRequestVote } from "./message-codec.ts";
import { refuseMessage } from "./peer-error.ts";
import { probeRefusal } from "./refusal-probe.ts";
import { failureFrom } from "./status.ts";

/** The channel's own backoff decides how often a member is dialed; this is only how soon its state is looked at. */
const REDIAL_DELAY_MS = 50;
const REFUSED_DELAY_MS = 1_000;

/** How long a connection may fail to open before another one is made in its place. */
const RENEW_MS = 10_000;

/** So long after a stream broke a refusal is told, again and again: by then all that a dead member had sent has come. */
const PROBE_MS = 1_000;

const VOTE_DEADLINE_MS = 1_000;

/** A member that doesn't answer votes isn't asked more often than it times out. */
const MAX_VOTES_OUTSTANDING = 16;

/** What a request without entries counts for among the bytes that wait to be sent. */
const APPEND_OVERHEAD_BYTES = 128;

/** One connection of its own for each member. A peer that went away without a word is noticed by the keepalive. */
const CHANNEL_OPTIONS: ChannelOptions = {
  "grpc.use_local_subchannel_pool": 1,
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 1_000,
  "grpc.enable_http_proxy": 0,
  "grpc.enable_channelz": 0,
  "grpc.enable_retries": 0,
  "grpc.keepalive_time_ms": 5_000,
  "grpc.keepalive_timeout_ms": 3_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.max_receive_message_length": 8 * 1024 * 1024,
};

const APPEND_METHOD = methodDefinition(RaftService.method.appendEntries, entryCodecs);
const VOTE_METHOD = methodDefinition(RaftService.method.requestVote);

export interface PeerClientOptions {
  readonly self: NodeId;
  readonly member: NodeId;
  /** host:port */
  readonly address: string;
  readonly handshakes: Handshakes;
  readonly listener: TransportListener;
  readonly log: Log;
}

/** This node's connection to one other member. Its AppendEntries stream is held open, whoever leads. */
export class PeerClient {
  readonly #options: PeerClientOptions;
  #client: Client;
  readonly #forwards: ForwardClient;
  #stream: DialedStream<AppendRequest, AppendAnswer> | undefined;
  #redialTimer: NodeJS.Timeout | undefined;
  #met = false;
  /** When the stream broke that was open last; long ago while one is open. */
  #lostMs = Number.NEGATIVE_INFINITY;
  #isProbing = false;
  #endProbe = (): void => {};
  #error = "not connected yet";
  #votesOutstanding = 0;
  /** When the connection was last open, or made anew. */
  #freshMs = performance.now();
  #closed = false;

  constructor(options: PeerClientOptions) {
    this.#options = options;
    this.#client = newClient(options.address);
    this.#forwards = new ForwardClient(() => this.#client, options.member, options.handshakes);
    this.#dial();
  }

  get connection(): PeerConnection {
    return this.#stream?.open ? { connected: true, error: "" } : { connected: false, error: this.#error };
  }

  /** For what needs no order among its calls. Another one takes its place when the connection doesn't come up. */
  get client(): Client {
    return this.#client;
  }

  sendAppend(message: AppendEntries): void {
    this.#stream?.maybeWrite(toAppendEntries(message), APPEND_OVERHEAD_BYTES + framesSize(message.frames));
  }

  /** Nobody is asked who hasn't accepted this node before: its answer could not be taken. */
  sendVote(request: RequestVote): void {
    if (!this.#met || this.#closed || this.#votesOutstanding >= MAX_VOTES_OUTSTANDING) return;
    this.#votesOutstanding += 1;
    this.#client.makeUnaryRequest<RequestVoteRequestProto, RequestVoteResponseProto>(
      VOTE_METHOD.path,
      VOTE_METHOD.requestSerialize,
      VOTE_METHOD.responseDeserialize as (bytes: Buffer) => RequestVoteResponseProto,
      toRequestVote(request, this.#options.handshakes.own(request.to)),
      { deadline: Date.now() + VOTE_DEADLINE_MS },
      (error, response) => {
        this.#votesOutstanding -= 1;
        if (this.#closed) return;
        if (error === null && response !== undefined) return this.#onVote(request, response);
        const refusal = error === null ? undefined : failureFrom(error);
        if (refusal !== undefined) this.#options.handshakes.onRefusedBy(request.to, refusal);
      },
    );
  }

  forward(request: ForwardRequest, done: (outcome: ForwardOutcome) => void): void {
    this.#forwards.forward(request, done);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#redialTimer);
    this.#endProbe();
    this.#forwards.close();
    this.#stream?.close();
    this.#client.close();
  }

  #dial(): void {
    const { self, member, handshakes, listener } = this.#options;
    this.#stream = new DialedStream<AppendRequest, AppendAnswer>({
      client: this.#client,
      method: APPEND_METHOD,
      member,
      handshakes,
      introduction: introductionRequest,
      handshakeOf: (response) => response.handshake,
      onOpen: () => this.#onOpen(),
      onMessage: (response) => {
        refuseMessage(listener.onMessage(fromAppendEntriesResponse(response, member, self)));
      },
      onEnd: (end) => this.#onEnd(end),
    });
  }

  #onOpen(): void {
    this.#met = true;
    this.#lostMs = Number.NEGATIVE_INFINITY;
    this.#error = "";
    this.#endProbe();
    this.#options.listener.onReachable(this.#options.member);
    this.#options.log.info({ peer: this.#options.member, address: this.#options.address }, "connected to a peer");
  }

  #onEnd({ wasOpen, refused, error }: StreamEnd): void {
    const { member, listener, log, address } = this.#options;
    this.#stream = undefined;
    this.#error = error;
    if (this.#closed) return;
    if (wasOpen) this.#freshMs = performance.now();
    else if (performance.now() - this.#freshMs >= RENEW_MS) this.#renew(address);
    this.#redialTimer = setTimeout(() => this.#dial(), refused ? REFUSED_DELAY_MS : REDIAL_DELAY_MS);
    if (wasOpen) this.#lostMs = performance.now();
    if (performance.now() - this.#lostMs < PROBE_MS) this.#probe();
    if (!wasOpen) return;
    log.info({ peer: member, detail: error }, "lost the connection to a peer");
    listener.onUnreachable(member);
  }

  /**
   * Also with the dials that fail soon afterwards: what a member that died had still sent may come after the first refusal.
   * One at a time, as a name may take long to resolve.
   */
  #probe(): void {
    const { address, member, listener } = this.#options;
    if (this.#isProbing) return;
    this.#isProbing = true;
    this.#endProbe = probeRefusal(address, (isRefused) => {
      this.#isProbing = false;
      if (!isRefused || this.#closed || this.#stream?.open === true) return;
      this.#forwards.giveUpWaiting();
      listener.onRefused(member);
    });
  }

  /**
   * grpc-js waits without end, and without keepalive, for the first word on a connection that was accepted: by a node that
   * hangs, say, whose machine then went away. Only another connection gets through to the next one.
   */
  #renew(address: string): void {
    this.#client.close();
    this.#client = newClient(address);
    this.#freshMs = performance.now();
  }

  #onVote(request: RequestVote, response: RequestVoteResponseProto): void {
    const { handshakes, listener, log, member } = this.#options;
    handshakes.judge(response.handshake, member, (result) => {
      if (isRefusal(result) || this.#closed) return;
      try {
        refuseMessage(listener.onMessage(fromRequestVoteResponse(response, request)));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        log.warn({ peer: member, detail: error.message }, "refused a vote");
      }
    });
  }
}

function newClient(address: string): Client {
  return new Client(address, credentials.createInsecure(), CHANNEL_OPTIONS);
}
