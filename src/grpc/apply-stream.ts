import { create } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import {
  type ApplyStreamRequest,
  type ApplyStreamResponse,
  ApplyStreamResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import type { Sink, Start } from "../apply/cursor.ts";
import type { ApplyHub } from "../apply/hub.ts";
import type { Failure } from "../failure.ts";
import type { NodeApi } from "../node/api.ts";
import { type CallContext, StreamWriter, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { indexFromWire, invalidArgument, termFromWire, toWire } from "./uint64.ts";

/** An upper bound of a header's or a progress frame's bytes. */
const SMALL_FRAME_BYTES = 512;

const LOG_ID_BYTES = 16;

/** A batch is encoded already. */
type Call = ServerWritableStream<ApplyStreamRequest | Malformed, ApplyStreamResponse | Buffer>;

/** Serves one ApplyStream from the hub. */
export function applyStream(context: CallContext, node: NodeApi, hub: ApplyHub): (call: Call) => void {
  return (call) => {
    const writer = new StreamWriter<ApplyStreamResponse | Buffer>(call, context.translator, () => cursor?.wake());
    let cursor: ReturnType<ApplyHub["add"]> | undefined;
    try {
      const start = startOf(wellFormed(call.request), node);
      const refusal = hub.refusal();
      if (refusal !== undefined) return writer.fail(refusal);
      context.streams.add(call, (failure) => writer.fail(failure));
      writer.write(header(node), SMALL_FRAME_BYTES);
      const added = hub.add(start, sinkOf(writer, node));
      cursor = added;
      call.once("cancelled", () => hub.remove(added));
      added.wake();
    } catch (error) {
      writer.fail(error);
    }
  };
}

function startOf({ start, afterTerm, logId }: ApplyStreamRequest, node: NodeApi): Start {
  if (start.case !== "afterIndex" && afterTerm !== 0n) {
    throw invalidArgument("after_term", "must be 0 without after_index");
  }
  if (start.case === "tail" && !start.value) throw invalidArgument("tail", "must be true when it is set");
  if (logId.length !== 0 && logId.length !== LOG_ID_BYTES) {
    throw invalidArgument("log_id", `must have ${LOG_ID_BYTES} bytes or be empty, has ${logId.length}`);
  }
  const afterIndex = start.case === "afterIndex" ? indexFromWire(start.value, "after_index") : 0;
  return {
    afterIndex: start.case === "tail" ? node.state().applied : afterIndex,
    afterTerm: termFromWire(afterTerm, "after_term"),
    // A view would hold on to the request's whole buffer for as long as the stream lasts.
    logId: Uint8Array.from(logId),
  };
}

function sinkOf(writer: StreamWriter<ApplyStreamResponse | Buffer>, node: NodeApi): Sink {
  return {
    get ready() {
      return writer.ready;
    },
    batch: (encoded) => writer.write(encoded, encoded.length),
    progress: (index) => writer.write(progress(node, index), SMALL_FRAME_BYTES),
    end: (failure: Failure) => writer.fail(failure),
  };
}

function header(node: NodeApi): ApplyStreamResponse {
  const { id, first, applied } = node.state();
  const value = {
    clusterId: node.status().clusterId,
    logId: node.logId,
    nodeId: id,
    firstIndex: toWire(first),
    lastIndex: toWire(applied),
  };
  return create(ApplyStreamResponseSchema, { frame: { case: "header", value } });
}

function progress(node: NodeApi, index: number): ApplyStreamResponse {
  const { term, leader } = node.state();
  const value = { index: toWire(index), term: toWire(term), leaderId: leader };
  return create(ApplyStreamResponseSchema, { frame: { case: "progress", value } });
}
