import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import {
  type Handshake as HandshakeProto,
  type InstallSnapshotHeader,
  InstallSnapshotHeaderSchema,
  type InstallSnapshotRequest,
  type InstallSnapshotResponse,
  InstallSnapshotResponseSchema,
} from "../../gen/raft/v1/raft_pb.js";
import type { Handshake } from "../node/handshake.ts";
import type { SnapshotRecord, SnapshotTransfers } from "../node/snapshot-transfers.ts";
import { type CallContext, sendHeaders, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { type Handshakes, isRefusal } from "./handshakes.ts";
import type { Pace } from "./pace.ts";
import { toSnapshot } from "./snapshot-codec.ts";
import { indexFromWire, invalidArgument, termFromWire, toWire } from "./uint64.ts";
import { WaitingWriter } from "./waiting-writer.ts";

const CHUNK_BYTES = 1024 * 1024;

/** What a header is counted as. */
const HEADER_BYTES = 1_024;

type Call = ServerWritableStream<InstallSnapshotRequest | Malformed, InstallSnapshotResponse>;

/** Hands out this node's snapshots to other members. */
export class InstallServer {
  readonly #context: CallContext;
  readonly #handshakes: Handshakes;
  readonly #snapshots: SnapshotTransfers;
  /** So that the log's own traffic doesn't stand behind gigabytes. */
  readonly #pace: Pace;

  constructor(context: CallContext, handshakes: Handshakes, snapshots: SnapshotTransfers, pace: Pace) {
    this.#context = context;
    this.#handshakes = handshakes;
    this.#snapshots = snapshots;
    this.#pace = pace;
  }

  serve(call: Call): void {
    const writer = new WaitingWriter(call, this.#context);
    this.#send(call, writer).catch((error: unknown) => writer.fail(error));
  }

  async #send(call: Call, writer: WaitingWriter<InstallSnapshotResponse>): Promise<void> {
    const request = wellFormed(call.request);
    const { sender } = await judged(this.#handshakes, request.handshake);
    const snapshot = this.#snapshots.get({
      index: indexFromWire(request.lastIndex, "last_index"),
      term: termFromWire(request.lastTerm, "last_term"),
    });
    const offset = indexFromWire(request.offset, "offset");
    const { ownState, size } = snapshot;
    if (offset > ownState.length + size) {
      throw invalidArgument("offset", `must be at most ${ownState.length + size}, is ${offset}`);
    }
    sendHeaders(call);
    await this.#snapshots.read(snapshot, Math.max(0, offset - ownState.length), async (reader) => {
      await this.#write(
        writer,
        { case: "header", value: headerOf(snapshot, this.#handshakes.own(sender)) },
        HEADER_BYTES,
      );
      for (let at = offset; at < ownState.length && !writer.ended; at += CHUNK_BYTES) {
        const chunk = ownState.subarray(at, at + CHUNK_BYTES);
        await this.#write(writer, { case: "chunk", value: chunk }, chunk.length);
      }
      while (!writer.ended) {
        const chunk = await reader.read(CHUNK_BYTES);
        if (chunk.length === 0) return writer.end();
        await this.#write(writer, { case: "chunk", value: chunk }, chunk.length);
      }
    });
  }

  async #write(
    writer: WaitingWriter<InstallSnapshotResponse>,
    part: InstallSnapshotResponse["part"],
    bytes: number,
  ): Promise<void> {
    await this.#pace.take(bytes);
    await writer.write(create(InstallSnapshotResponseSchema, { part }), bytes);
  }
}

function headerOf(snapshot: SnapshotRecord, handshake: HandshakeProto): InstallSnapshotHeader {
  const { ownState } = snapshot;
  return create(InstallSnapshotHeaderSchema, {
    handshake,
    snapshot: toSnapshot(snapshot),
    ownStateSize: toWire(ownState.length),
    ownStateSha256: createHash("sha256").update(ownState).digest(),
  });
}

/** Rejects with why the other node is refused. */
function judged(handshakes: Handshakes, proto: HandshakeProto | undefined): Promise<Handshake> {
  return new Promise((resolve, reject) => {
    handshakes.judge(proto, undefined, (result) => (isRefusal(result) ? reject(result) : resolve(result)));
  });
}
