import { create } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import {
  type ApplyHeader,
  type ApplyStreamRequest,
  type ApplyStreamResponse,
  ApplyStreamResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import { mismatchOf, type Sink, type Start } from "../apply/cursor.ts";
import type { ApplyHub } from "../apply/hub.ts";
import { Failure } from "../failure.ts";
import type { NodeApi } from "../node/api.ts";
import { type ApplyStart, startFromWire } from "./apply-start.ts";
import { type CallContext, StreamWriter, sendHeaders, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { toSnapshot } from "./snapshot-codec.ts";
import { streamToken as tokenOf } from "./stream-token.ts";
import { toWire } from "./uint64.ts";

/** An upper bound of a header's or a progress frame's bytes. */
const SMALL_FRAME_BYTES = 512;

const NO_TOKEN = new Uint8Array(0);

/** What only a durable subscriber's header has. */
type OwnHeader = Pick<ApplyHeader, "streamToken" | "startIndex">;

/** A batch is encoded already. */
type Call = ServerWritableStream<ApplyStreamRequest | Malformed, ApplyStreamResponse | Buffer>;

/** Serves ApplyStream from the hub. */
export function applyStream(context: CallContext, node: NodeApi, hub: ApplyHub): (call: Call) => void {
  return (call) => new ApplyCall(context, node, hub, call).start();
}

/** One call. */
class ApplyCall {
  readonly #context: CallContext;
  readonly #node: NodeApi;
  readonly #hub: ApplyHub;
  readonly #call: Call;
  readonly #writer: StreamWriter<ApplyStreamResponse | Buffer>;
  #cursor: ReturnType<ApplyHub["add"]> | undefined;

  constructor(context: CallContext, node: NodeApi, hub: ApplyHub, call: Call) {
    this.#context = context;
    this.#node = node;
    this.#hub = hub;
    this.#call = call;
    this.#writer = new StreamWriter(call, context.translator, () => this.#cursor?.wake());
  }

  start(): void {
    try {
      const start = startFromWire(wellFormed(this.#call.request), this.#node);
      const refusal = this.#hub.refusal();
      if (refusal !== undefined) return this.#writer.fail(refusal);
      this.#context.streams.add(this.#call, (failure) => this.#writer.fail(failure));
      if (start.subscriber === "") this.#deliver(start, { streamToken: NO_TOKEN, startIndex: 0n });
      else this.#open(start);
    } catch (error) {
      this.#writer.fail(error);
    }
  }

  /** A durable subscriber's stream begins once it is opened. Its headers say meanwhile that it wasn't lost. */
  #open(start: ApplyStart): void {
    // Who is refused for his state takes nobody's place.
    const mismatch = mismatchOf(this.#node, start);
    if (mismatch !== undefined) return this.#writer.fail(mismatch);
    sendHeaders(this.#call);
    this.#node.subscriptions.open(start.subscriber, start.afterIndex, (opened) => {
      if (this.#writer.ended) return;
      // Others may have come meanwhile.
      const refusal = opened instanceof Failure ? opened : this.#hub.refusal();
      if (opened instanceof Failure || refusal !== undefined) return this.#writer.fail(refusal);
      const afterIndex = start.fromCursor ? opened.cursor : start.afterIndex;
      const streamToken = tokenOf(start.subscriber, opened.generation);
      const stop = this.#node.subscriptions.watch(opened, (failure) => this.#writer.fail(failure));
      this.#call.once("cancelled", stop);
      this.#deliver({ ...start, afterIndex }, { streamToken, startIndex: toWire(afterIndex) });
    });
  }

  #deliver(start: Start, own: OwnHeader): void {
    this.#writer.write(header(this.#node, own), SMALL_FRAME_BYTES);
    const cursor = this.#hub.add(start, sinkOf(this.#writer, this.#node));
    this.#cursor = cursor;
    this.#call.once("cancelled", () => this.#hub.remove(cursor));
    cursor.wake();
  }
}

function sinkOf(writer: StreamWriter<ApplyStreamResponse | Buffer>, node: NodeApi): Sink {
  return {
    get ready() {
      return writer.ready;
    },
    batch: (encoded) => writer.write(encoded, encoded.length),
    progress: (index) => writer.write(progress(node, index), SMALL_FRAME_BYTES),
    snapshot: (snapshot) => {
      const frame = { case: "snapshot", value: toSnapshot(snapshot) } as const;
      writer.write(create(ApplyStreamResponseSchema, { frame }), SMALL_FRAME_BYTES);
    },
    chunk: (bytes) => {
      const frame = { case: "snapshotChunk", value: bytes } as const;
      writer.write(create(ApplyStreamResponseSchema, { frame }), bytes.length);
    },
    end: (failure) => writer.fail(failure),
  };
}

function header(node: NodeApi, own: OwnHeader): ApplyStreamResponse {
  const { id, first, applied } = node.state();
  const value = {
    clusterId: node.status().clusterId,
    logId: node.logId,
    nodeId: id,
    firstIndex: toWire(first),
    lastIndex: toWire(applied),
    ...own,
  };
  return create(ApplyStreamResponseSchema, { frame: { case: "header", value } });
}

function progress(node: NodeApi, index: number): ApplyStreamResponse {
  const { term, leader, applied } = node.state();
  const value = {
    index: toWire(index),
    term: toWire(term),
    leaderId: leader,
    snapshotWanted: node.snapshots.isWanted && index <= applied,
  };
  return create(ApplyStreamResponseSchema, { frame: { case: "progress", value } });
}
