import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import { assert, unreachable } from "../assert.ts";
import type { Handshaker } from "../node/handshake.ts";
import type { SnapshotTransfers } from "../node/snapshot-transfers.ts";
import type {
  FetchedSnapshot,
  ForwardOutcome,
  ForwardRequest,
  Transport,
  TransportListener,
} from "../node/transport.ts";
import type { Message } from "../raft/message.ts";
import type { EntryId, NodeId } from "../raft/types.ts";
import { AppendServer } from "./append-server.ts";
import type { CallContext } from "./calls.ts";
import type { PeerConnection } from "./cluster-service.ts";
import { ForwardServer } from "./forward-server.ts";
import { Handshakes } from "./handshakes.ts";
import { InstallServer } from "./install-snapshot.ts";
import type { Log } from "./log.ts";
import { Pace } from "./pace.ts";
import { PeerClient } from "./peer-client.ts";
import { type PullProgress, SnapshotPull } from "./snapshot-pull.ts";
import { VoteServer } from "./vote-server.ts";

export interface GrpcTransportOptions {
  readonly self: NodeId;
  /** Where this node dials each other member, host:port. */
  readonly peers: ReadonlyMap<NodeId, string>;
  readonly handshaker: Handshaker;
  /** Where members' snapshots go, and this node's come from. */
  readonly snapshots: SnapshotTransfers;
  /** Bytes of snapshots a second that all members together are sent. */
  readonly snapshotRate: number;
  readonly log: Log;
}

/** The other members over gRPC. Dials from `start` on; serves them as the handlers that `service` returns. */
export class GrpcTransport implements Transport {
  readonly #options: GrpcTransportOptions;
  readonly #handshakes: Handshakes;
  readonly #clients = new Map<NodeId, PeerClient>();
  /** The oldest first. */
  readonly #pulls = new Set<SnapshotPull>();
  #appends: AppendServer | undefined;
  #votes: VoteServer | undefined;

  constructor(options: GrpcTransportOptions) {
    this.#options = options;
    this.#handshakes = new Handshakes(options.handshaker, options.log);
  }

  /** Starts to dial the other members. What they say goes to `listener`. */
  start(listener: TransportListener): void {
    assert(this.#clients.size === 0, "a transport is started once");
    const { self, peers, log } = this.#options;
    for (const [member, address] of peers) {
      const client = new PeerClient({ self, member, address, handshakes: this.#handshakes, listener, log });
      this.#clients.set(member, client);
    }
  }

  /** The handlers of `raft.v1.RaftService`, for one listener. */
  service(context: CallContext, listener: TransportListener): UntypedServiceImplementation {
    const { self, snapshots, snapshotRate } = this.#options;
    const appends = new AppendServer(context, this.#handshakes, self, listener);
    const votes = new VoteServer(context, this.#handshakes, self, listener);
    const forwards = new ForwardServer(context, this.#handshakes, listener);
    const installs = new InstallServer(context, this.#handshakes, snapshots, new Pace(snapshotRate, context.nowMs));
    this.#appends = appends;
    this.#votes = votes;
    return {
      RequestVote: votes.serve,
      AppendEntries: appends.serve.bind(appends),
      Forward: forwards.serve.bind(forwards),
      InstallSnapshot: installs.serve.bind(installs),
    };
  }

  send(message: Message): void {
    switch (message.kind) {
      case "requestVote":
        return this.#clients.get(message.to)?.sendVote(message);
      case "appendEntries":
        return this.#clients.get(message.to)?.sendAppend(message);
      case "requestVoteResponse":
        return this.#votes?.send(message);
      case "appendEntriesResponse":
        return this.#appends?.send(message);
      default:
        return unreachable(message);
    }
  }

  forward(to: NodeId, request: ForwardRequest, done: (outcome: ForwardOutcome) => void): void {
    const client = this.#clients.get(to);
    if (client === undefined) return queueMicrotask(() => done({ kind: "notSent" }));
    client.forward(request, done);
  }

  fetchSnapshot(from: NodeId, last: EntryId, done: (result: FetchedSnapshot | Error) => void): void {
    const client = this.#clients.get(from);
    if (client === undefined)
      return queueMicrotask(() => done(new Error(`${from} is not a member that this node dials`)));
    const { snapshots } = this.#options;
    const pull = new SnapshotPull({
      member: from,
      last,
      client: () => client.client,
      handshakes: this.#handshakes,
      snapshots,
    });
    this.#pulls.add(pull);
    const end = (result: FetchedSnapshot | Error): void => {
      this.#pulls.delete(pull);
      done(result);
    };
    pull.run().then(end, (error: unknown) => end(error instanceof Error ? error : new Error(String(error))));
  }

  /** How far the snapshot has come that is being fetched, the one begun last; undefined for none. */
  get pullProgress(): PullProgress | undefined {
    return [...this.#pulls].at(-1)?.progress;
  }

  connection(member: NodeId): PeerConnection {
    return this.#clients.get(member)?.connection ?? { connected: false, error: "not a member that this node dials" };
  }

  /** Ends all connections that this node dialed. Requests without an answer are lost. */
  close(): void {
    for (const pull of this.#pulls) pull.close();
    for (const client of this.#clients.values()) client.close();
  }
}
