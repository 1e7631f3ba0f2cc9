import type { ClientReadableStream } from "@grpc/grpc-js";
import type { ApplyStreamResponse } from "../../gen/raft/v1/log_pb.js";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import { SidecarClient } from "../../src/grpc/client.ts";
import type { ClusterNode } from "../support/cluster.ts";
import { sleep } from "../support/wait.ts";
import { Applier, FORMAT } from "./applier.ts";
import { sourceOf } from "./generated.ts";
import type { Ledger } from "./ledger.ts";

const RETRY_MS = 50;

/** After a snapshot was put the other nodes copy it: so long nobody puts another. */
const REST_MS = 3_000;

/** Has the services put one snapshot at a time, and counts what came of it. */
export class Snapshots {
  put = 0;
  /** By reason. */
  readonly failed = new Map<string, number>();
  #isBusy = false;
  #isPutting = false;

  get isPutting(): boolean {
    return this.#isPutting;
  }

  /** Does nothing while another one is being put. */
  async one(put: () => Promise<unknown>): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#isPutting = true;
    try {
      await put();
      this.put++;
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      const reason = error.failure?.reason ?? error.code;
      this.failed.set(reason, (this.failed.get(reason) ?? 0) + 1);
    }
    this.#isPutting = false;
    await sleep(REST_MS);
    this.#isBusy = false;
  }
}

/** The state machine beside a node: follows that node alone, and puts a snapshot when the node wants one. */
export class Service {
  readonly node: ClusterNode;
  readonly applier: Applier;
  readonly #snapshots: Snapshots;
  readonly #stateBytes: number;
  readonly #putter: SidecarClient;
  #stream: ClientReadableStream<ApplyStreamResponse> | undefined;
  #isClosed = false;
  #isLost = false;
  readonly #ended: Promise<void>;

  constructor(node: ClusterNode, ledger: Ledger, snapshots: Snapshots, stateBytes: number) {
    this.node = node;
    this.applier = new Applier(`the service beside ${node.id}`, ledger);
    this.#snapshots = snapshots;
    this.#stateBytes = stateBytes;
    this.#putter = new SidecarClient(node.client.address);
    this.#ended = this.#run();
  }

  /** It starts again with nothing, once its node is gone. */
  lose(): void {
    this.#isLost = true;
    this.#stream?.cancel();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stream?.cancel();
    await this.#ended;
    this.#putter.close();
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      if (this.#isLost) this.applier.forget();
      this.#isLost = false;
      const { state, logId } = this.applier;
      const stream = this.node.client.apply({
        start: { case: "afterIndex", value: BigInt(state.position) },
        logId,
        snapshotFormats: [FORMAT],
      });
      this.#stream = stream;
      await this.applier.follow(stream, state.position, (frame) => {
        if (frame.case === "progress" && frame.value.snapshotWanted) void this.#put();
      });
      if (!this.#isClosed) await sleep(RETRY_MS);
    }
  }

  /** As of now: the state goes on changing while it is sent. */
  #put(): Promise<void> {
    const { state } = this.applier;
    const taken = { index: state.position, term: 0, format: FORMAT };
    return this.#snapshots.one(() => this.#putter.putSnapshot(taken, sourceOf([...state.encode(this.#stateBytes)])));
  }
}
