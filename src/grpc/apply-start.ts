import type { ApplyStreamRequest } from "../../gen/raft/v1/log_pb.js";
import type { Start } from "../apply/cursor.ts";
import type { NodeApi } from "../node/api.ts";
import { MAX_SUBSCRIBER_BYTES } from "../session/subscription.ts";
import { refuseShortText } from "./short-text.ts";
import { formatsFromWire } from "./snapshot-codec.ts";
import { indexFromWire, invalidArgument, termFromWire } from "./uint64.ts";

const LOG_ID_BYTES = 16;

/** Where an ApplyStream starts, and for whom. */
export interface ApplyStart extends Start {
  /** A durable subscriber's name; "" for none. */
  readonly subscriber: string;
  /** It starts at its cursor instead. */
  readonly fromCursor: boolean;
}

/** Throws INVALID_ARGUMENT. */
export function startFromWire(request: ApplyStreamRequest, node: NodeApi): ApplyStart {
  const { start, afterTerm, logId, snapshotFormats, subscriber } = request;
  if (start.case !== "afterIndex" && afterTerm !== 0n) {
    throw invalidArgument("after_term", "must be 0 without after_index");
  }
  if (start.case === "tail" && !start.value) throw invalidArgument("tail", "must be true when it is set");
  if (start.case === "fromCursor" && !start.value) throw invalidArgument("from_cursor", "must be true when it is set");
  if (start.case === "fromCursor" && subscriber === "") {
    throw invalidArgument("subscriber", "must be set with from_cursor: only a name has a cursor");
  }
  if (logId.length !== 0 && logId.length !== LOG_ID_BYTES) {
    throw invalidArgument("log_id", `must have ${LOG_ID_BYTES} bytes or be empty, has ${logId.length}`);
  }
  const afterIndex = start.case === "afterIndex" ? indexFromWire(start.value, "after_index") : 0;
  return {
    afterIndex: start.case === "tail" ? node.state().applied : afterIndex,
    afterTerm: termFromWire(afterTerm, "after_term"),
    // A view would hold on to the request's whole buffer for as long as the stream lasts.
    logId: Uint8Array.from(logId),
    formats: formatsFromWire(snapshotFormats, "snapshot_formats"),
    subscriber: subscriber === "" ? "" : subscriberFromWire(subscriber),
    fromCursor: start.case === "fromCursor",
  };
}

/** A durable subscriber's name. Throws INVALID_ARGUMENT. */
export function subscriberFromWire(name: string, field = "subscriber"): string {
  const refusal = refuseShortText(name, MAX_SUBSCRIBER_BYTES, field);
  if (refusal !== undefined) throw refusal;
  return name;
}
