import { create } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import {
  type GetSnapshotRequest,
  type GetSnapshotResponse,
  GetSnapshotResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import type { SnapshotTransfers } from "../node/snapshot-transfers.ts";
import { type CallContext, sendHeaders, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { formatsFromWire, toSnapshot } from "./snapshot-codec.ts";
import { WaitingWriter } from "./waiting-writer.ts";

const CHUNK_BYTES = 1024 * 1024;

/** What a header is counted as. */
const HEADER_BYTES = 256;

type Call = ServerWritableStream<GetSnapshotRequest | Malformed, GetSnapshotResponse>;

/** Serves GetSnapshot. A reader that doesn't keep up has the file wait for it. */
export function getSnapshot(context: CallContext, snapshots: SnapshotTransfers): (call: Call) => void {
  return (call) => {
    const writer = new WaitingWriter(call, context);
    send(snapshots, call, writer).catch((error: unknown) => writer.fail(error));
  };
}

async function send(
  snapshots: SnapshotTransfers,
  call: Call,
  writer: WaitingWriter<GetSnapshotResponse>,
): Promise<void> {
  const write = (part: GetSnapshotResponse["part"], bytes: number): Promise<void> =>
    writer.write(create(GetSnapshotResponseSchema, { part }), bytes);
  const snapshot = snapshots.find(formatsFromWire(wellFormed(call.request).formats, "formats"));
  sendHeaders(call);
  await snapshots.read(snapshot, 0, async (reader) => {
    await write({ case: "header", value: toSnapshot(snapshot) }, HEADER_BYTES);
    while (!writer.ended) {
      const chunk = await reader.read(CHUNK_BYTES);
      if (chunk.length === 0) return writer.end();
      await write({ case: "chunk", value: chunk }, chunk.length);
    }
  });
}
