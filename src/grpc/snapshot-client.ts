import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Client, ClientWritableStream } from "@grpc/grpc-js";
import {
  LogService,
  type PutSnapshotRequest,
  PutSnapshotRequestSchema,
  type PutSnapshotResponse,
  type Snapshot,
} from "../../gen/raft/v1/log_pb.js";
import { assert } from "../assert.ts";
import { CallFailure } from "./call-failure.ts";
import { methodDefinition } from "./definition.ts";
import { indexFromWire, termFromWire, toWire } from "./uint64.ts";

/** A snapshot as a node describes it. */
export interface SnapshotView {
  readonly index: number;
  readonly term: number;
  readonly format: string;
  /** In bytes. */
  readonly size: number;
  readonly sha256: Uint8Array;
}

/** What a snapshot that is put stands for. `term` 0 checks nothing. */
export interface NewSnapshot {
  readonly index: number;
  readonly term: number;
  readonly format: string;
}

/** Chunks of at most 2 MiB, and what they were once there are no more. */
export interface SnapshotSource {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** To be called after the last chunk. */
  readonly sha256: () => Uint8Array;
}

type Part = NonNullable<MessageInitShape<typeof PutSnapshotRequestSchema>["part"]>;

type PutCall = ClientWritableStream<PutSnapshotRequest>;

/** Puts a snapshot. Rejects with a CallFailure, or with what reading the source failed with. */
export function putSnapshot(
  client: Client,
  { index, term, format }: NewSnapshot,
  source: SnapshotSource,
): Promise<SnapshotView> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(LogService.method.putSnapshot);
  return new Promise((resolve, reject) => {
    let isAnswered = false;
    const call: PutCall = client.makeClientStreamRequest(
      path,
      requestSerialize as (message: PutSnapshotRequest) => Buffer,
      responseDeserialize as (bytes: Buffer) => PutSnapshotResponse,
      (error, response) => {
        isAnswered = true;
        // What waits for room to write goes on, and finds the answer.
        call.emit("drain");
        if (error !== null) return reject(new CallFailure(error));
        assert(response?.snapshot !== undefined, "PutSnapshot answers with the snapshot");
        resolve(snapshotView(response.snapshot));
      },
    );
    const write = async (part: Part): Promise<void> => {
      if (!isAnswered && !call.write(create(PutSnapshotRequestSchema, { part }))) {
        await new Promise<void>((go) => call.once("drain", go));
      }
    };
    const send = async (): Promise<void> => {
      await write({ case: "header", value: { index: toWire(index), term: toWire(term), format } });
      for await (const chunk of source.chunks) {
        if (isAnswered) return;
        await write({ case: "chunk", value: chunk });
      }
      await write({ case: "sha256", value: source.sha256() });
      call.end();
    };
    send().catch((error: unknown) => {
      call.cancel();
      reject(error);
    });
  });
}

/** A snapshot as JSON has it. */
export function snapshotView({ index, term, format, size, sha256 }: Snapshot): SnapshotView {
  return {
    index: indexFromWire(index, "index"),
    term: termFromWire(term, "term"),
    format,
    size: indexFromWire(size, "size"),
    sha256,
  };
}
