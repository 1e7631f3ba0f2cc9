import { create } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import {
  type GetSnapshotRequest,
  type GetSnapshotResponse,
  GetSnapshotResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import { Failure } from "../failure.ts";
import type { SnapshotReader, Snapshots } from "../node/snapshots.ts";
import { type CallContext, StreamWriter, sendHeaders, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { formatFromWire, toSnapshot } from "./snapshot-codec.ts";
import { invalidArgument } from "./uint64.ts";

const CHUNK_BYTES = 1024 * 1024;
const MAX_FORMATS = 16;

/** How long a reader may take nothing. */
const READ_TIMEOUT_MS = 60_000;

/** What a header is counted as. */
const HEADER_BYTES = 256;

type Call = ServerWritableStream<GetSnapshotRequest | Malformed, GetSnapshotResponse>;

/** Serves GetSnapshot. */
export function getSnapshot(context: CallContext, snapshots: Snapshots): (call: Call) => void {
  return (call) => void new GetSnapshotCall(context, snapshots, call).run();
}

/** One call. A reader that doesn't keep up has the file wait for it. */
class GetSnapshotCall {
  readonly #context: CallContext;
  readonly #snapshots: Snapshots;
  readonly #call: Call;
  readonly #writer: StreamWriter<GetSnapshotResponse>;
  #onReady = (): void => {};

  constructor(context: CallContext, snapshots: Snapshots, call: Call) {
    this.#context = context;
    this.#snapshots = snapshots;
    this.#call = call;
    this.#writer = new StreamWriter(call, context.translator, () => this.#onReady());
  }

  /** Never rejects. */
  async run(): Promise<void> {
    try {
      const formats = formatsOf(wellFormed(this.#call.request));
      this.#context.streams.add(this.#call, (failure) => this.#writer.fail(failure));
      this.#call.once("cancelled", () => this.#onReady());
      sendHeaders(this.#call);
      await this.#snapshots.read(formats, (reader) => this.#send(reader));
    } catch (error) {
      this.#writer.fail(error);
    }
  }

  async #send(reader: SnapshotReader): Promise<void> {
    this.#write({ case: "header", value: toSnapshot(reader.snapshot) }, HEADER_BYTES);
    while (!this.#writer.ended) {
      const chunk = await this.#snapshots.failing(() => reader.read(CHUNK_BYTES));
      if (chunk.length === 0) return this.#writer.end();
      this.#write({ case: "chunk", value: chunk }, chunk.length);
      await this.#ready();
    }
  }

  #write(part: GetSnapshotResponse["part"], bytes: number): void {
    this.#writer.write(create(GetSnapshotResponseSchema, { part }), bytes);
  }

  /** Resolves when more may be written, or the call has ended, which a reader that takes nothing brings about. */
  async #ready(): Promise<void> {
    if (this.#writer.ready || this.#writer.ended) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onReady = resolve;
    const timer = setTimeout(() => {
      this.#writer.fail(new Failure("OVERLOADED", `nothing was read for ${READ_TIMEOUT_MS} ms`));
      resolve();
    }, READ_TIMEOUT_MS);
    await promise;
    clearTimeout(timer);
  }
}

function formatsOf({ formats }: GetSnapshotRequest): string[] {
  if (formats.length > MAX_FORMATS) throw invalidArgument("formats", `must be at most ${MAX_FORMATS}`);
  return formats.map((format, i) => formatFromWire(format, `formats[${i}]`));
}
