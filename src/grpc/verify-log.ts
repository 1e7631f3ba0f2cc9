import { createHash } from "node:crypto";
import { setImmediate as nextRound } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import {
  VerifiedLogSchema,
  type VerifyLogRequest,
  type VerifyLogResponse,
  VerifyLogResponseSchema,
} from "../../gen/raft/v1/cluster_pb.js";
import { Failure } from "../failure.ts";
import type { NodeApi } from "../node/api.ts";
import type { SnapshotRecord, SnapshotTransfers } from "../node/snapshot-transfers.ts";
import type { Frame } from "../raft/types.ts";
import { type CallContext, sendHeaders, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { toSnapshot } from "./snapshot-codec.ts";
import { indexFromWire, invalidArgument, toWire } from "./uint64.ts";
import { WaitingWriter } from "./waiting-writer.ts";

/** How much is read at a time; a single larger entry is read whole. */
const READ_BYTES = 1024 * 1024;

const PROGRESS_INTERVAL_MS = 500;

/** What a message is counted as. */
const MESSAGE_BYTES = 256;

type Call = ServerWritableStream<VerifyLogRequest | Malformed, VerifyLogResponse>;

/** Serves VerifyLog. Reading checks what is read. */
export function verifyLog(context: CallContext, node: NodeApi, snapshots: SnapshotTransfers): (call: Call) => void {
  return (call) => {
    const writer = new WaitingWriter(call, context);
    verify(node, snapshots, call, writer).catch((error: unknown) => writer.fail(error));
  };
}

async function verify(
  node: NodeApi,
  snapshots: SnapshotTransfers,
  call: Call,
  writer: WaitingWriter<VerifyLogResponse>,
): Promise<void> {
  const { first, last } = rangeOf(wellFormed(call.request), node);
  const write = (part: VerifyLogResponse["part"]): Promise<void> =>
    writer.write(create(VerifyLogResponseSchema, { part }), MESSAGE_BYTES);
  sendHeaders(call);
  const hash = createHash("sha256");
  let toldMs = performance.now();
  for (let at = first; at <= last && !writer.ended; ) {
    for (const frame of await read(node, at, last)) {
      hash.update(frame.bytes);
      at = frame.last + 1;
    }
    await nextRound();
    if (performance.now() - toldMs < PROGRESS_INTERVAL_MS) continue;
    toldMs = performance.now();
    await write({ case: "verifiedIndex", value: toWire(at - 1) });
  }
  const { kept } = node.snapshots;
  for (const snapshot of kept) {
    // While one is read another may be dropped.
    if (node.snapshots.get(snapshot.last) !== undefined) await readWhole(snapshots, snapshot, writer);
  }
  const newest = kept.at(-1);
  const result = create(VerifiedLogSchema, {
    firstIndex: toWire(first),
    lastIndex: toWire(last),
    sha256: hash.digest(),
    ...(newest === undefined ? {} : { snapshot: toSnapshot(newest) }),
  });
  await write({ case: "result", value: result });
  writer.end();
}

function read(node: NodeApi, first: number, last: number): Promise<readonly Frame[]> {
  return new Promise((resolve, reject) => {
    node.readLog(first, last, READ_BYTES, (result) => {
      if (result instanceof Failure) reject(result);
      else resolve(result);
    });
  });
}

/** To its end: its checksum is compared there. */
async function readWhole(
  snapshots: SnapshotTransfers,
  snapshot: SnapshotRecord,
  writer: WaitingWriter<VerifyLogResponse>,
): Promise<void> {
  await snapshots.read(snapshot, 0, async (reader) => {
    while (!writer.ended && (await reader.read(READ_BYTES)).length > 0);
  });
}

function rangeOf({ startIndex, endIndex }: VerifyLogRequest, node: NodeApi): { first: number; last: number } {
  const { first: retained, applied } = node.state();
  const first = startIndex === 0n ? retained : indexFromWire(startIndex, "start_index");
  const last = endIndex === 0n ? applied : indexFromWire(endIndex, "end_index");
  if (last > applied)
    throw invalidArgument("end_index", `must be at most ${applied}, which is committed here, is ${last}`);
  if (endIndex !== 0n && last < first) {
    throw invalidArgument("end_index", `must be 0 or at least start_index (${first}), is ${last}`);
  }
  return { first, last };
}
