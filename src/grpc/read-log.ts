import type { ServerWritableStream } from "@grpc/grpc-js";
import type { ReadLogRequest, ReadLogResponse } from "../../gen/raft/v1/cluster_pb.js";
import { Failure } from "../failure.ts";
import type { NodeApi } from "../node/api.ts";
import { encodeReadLogResponse } from "./append-codec.ts";
import { type CallContext, StreamWriter, sendHeaders, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { indexFromWire, invalidArgument } from "./uint64.ts";

/** How much is read and sent at a time; a single larger entry goes whole. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

/** A response is encoded already. */
type Call = ServerWritableStream<ReadLogRequest | Malformed, ReadLogResponse | Buffer>;

/** Serves one ReadLog: the range as the log stands when the call comes, then the end. */
export function readLog(context: CallContext, node: NodeApi): (call: Call) => void {
  return (call) => {
    const writer = new StreamWriter<ReadLogResponse | Buffer>(call, context.translator, () => next());
    let at = 0;
    let last = 0;
    let reading = false;
    const next = (): void => {
      if (reading || !writer.ready) return;
      // What was truncated since the call came is not there to be read.
      last = Math.min(last, node.status().durable);
      if (at > last) return writer.end();
      reading = true;
      node.readLog(at, last, MAX_MESSAGE_BYTES, (result) => {
        reading = false;
        if (result instanceof Failure) return writer.fail(result);
        const end = result.at(-1)?.last;
        if (end === undefined) return writer.end();
        at = end + 1;
        const message = encodeReadLogResponse(node.state().commit, result);
        writer.write(message, message.length);
        // Not from within the callback: a log in memory calls back at once, and the range may be long.
        setImmediate(next);
      });
    };
    try {
      const range = rangeOf(wellFormed(call.request), node);
      at = range.first;
      last = range.last;
      context.streams.add(call, (failure) => writer.fail(failure));
      sendHeaders(call);
      next();
    } catch (error) {
      writer.fail(error);
    }
  };
}

function rangeOf({ startIndex, endIndex }: ReadLogRequest, node: NodeApi): { first: number; last: number } {
  const state = node.state();
  const first = startIndex === 0n ? state.first : indexFromWire(startIndex, "start_index");
  const end = endIndex === 0n ? state.last : indexFromWire(endIndex, "end_index");
  if (endIndex !== 0n && end < first) {
    throw invalidArgument("end_index", `must be 0 or at least start_index (${first}), is ${end}`);
  }
  return { first, last: Math.min(end, state.last) };
}
