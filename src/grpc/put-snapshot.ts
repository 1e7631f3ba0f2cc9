import { create } from "@bufbuild/protobuf";
import type { ServerReadableStream } from "@grpc/grpc-js";
import {
  type PutSnapshotHeader,
  type PutSnapshotRequest,
  type PutSnapshotResponse,
  PutSnapshotResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import type { Failure } from "../failure.ts";
import type { SnapshotTransfers, Upload } from "../node/snapshot-transfers.ts";
import { type CallContext, StreamReader, wellFormed } from "./calls.ts";
import type { Malformed } from "./definition.ts";
import { formatFromWire, toSnapshot } from "./snapshot-codec.ts";
import type { CallError } from "./status.ts";
import { indexFromWire, invalidArgument, termFromWire } from "./uint64.ts";

const MAX_CHUNK_BYTES = 2 * 1024 * 1024;
const SHA256_BYTES = 32;

/** From one part to the next. */
const PART_TIMEOUT_MS = 60_000;

type Call = ServerReadableStream<PutSnapshotRequest | Malformed, PutSnapshotResponse>;
type Answer = (error: CallError | null, response?: PutSnapshotResponse) => void;

/** Serves PutSnapshot. */
export function putSnapshot(context: CallContext, snapshots: SnapshotTransfers): (call: Call, answer: Answer) => void {
  return (call, answer) => new PutSnapshotCall(context, snapshots, call, answer).start();
}

/** One call. Parts are taken one after the other: the next is read once the disk has this one. */
class PutSnapshotCall {
  readonly #context: CallContext;
  readonly #snapshots: SnapshotTransfers;
  readonly #call: Call;
  readonly #answer: Answer;
  readonly #reader: StreamReader;
  /** What was taken so far is being dealt with until it resolves. Never rejects. */
  #work: Promise<void> = Promise.resolve();
  #upload: Upload | undefined;
  #sha256: Uint8Array | undefined;
  #isFinishing = false;
  #hasEnded = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: CallContext, snapshots: SnapshotTransfers, call: Call, answer: Answer) {
    this.#context = context;
    this.#snapshots = snapshots;
    this.#call = call;
    this.#answer = answer;
    this.#reader = new StreamReader(call);
  }

  start(): void {
    this.#context.streams.add(this.#call, (failure) => this.#giveUp(failure));
    this.#call.on("data", (request: PutSnapshotRequest | Malformed) => this.#then(() => this.#take(request)));
    this.#call.on("end", () => this.#then(() => this.#finish()));
    this.#call.once("cancelled", () => this.#end());
    this.#expectPart();
  }

  /** Does one thing after the other, unless the call has ended. */
  #then(operation: () => Promise<void>): void {
    this.#reader.pause();
    clearTimeout(this.#timer);
    this.#work = this.#work.then(async () => {
      if (this.#hasEnded) return;
      try {
        await operation();
        if (this.#hasEnded) return;
        this.#expectPart();
        this.#reader.resume();
      } catch (error) {
        await this.#discard();
        this.#end(() => this.#answer(this.#context.translator.callError(error)));
      }
    });
  }

  async #take(request: PutSnapshotRequest | Malformed): Promise<void> {
    const { part } = wellFormed(request);
    if (this.#sha256 !== undefined) throw invalidArgument("part", "must not follow the sha256");
    if (this.#upload === undefined) {
      if (part.case !== "header") throw invalidArgument("part", "must be the header at first");
      this.#upload = await this.#begin(part.value);
      return;
    }
    switch (part.case) {
      case "chunk":
        return this.#write(this.#upload, part.value);
      case "sha256":
        if (part.value.length !== SHA256_BYTES) {
          throw invalidArgument("sha256", `must have ${SHA256_BYTES} bytes, has ${part.value.length}`);
        }
        this.#sha256 = part.value;
        return;
      default:
        throw invalidArgument("part", "must be a chunk or the sha256 after the header");
    }
  }

  async #begin({ index, term, format }: PutSnapshotHeader): Promise<Upload> {
    const at = indexFromWire(index, "header.index");
    if (at === 0) throw invalidArgument("header.index", "must be 1 or above");
    const header = {
      index: at,
      term: termFromWire(term, "header.term"),
      format: formatFromWire(format, "header.format"),
    };
    return this.#snapshots.begin(header);
  }

  async #write(upload: Upload, chunk: Uint8Array): Promise<void> {
    const { length } = chunk;
    if (length === 0 || length > MAX_CHUNK_BYTES) {
      throw invalidArgument("chunk", `must have 1 to ${MAX_CHUNK_BYTES} bytes, has ${length}`);
    }
    await upload.write(chunk);
  }

  async #finish(): Promise<void> {
    if (this.#upload === undefined || this.#sha256 === undefined) {
      throw invalidArgument("part", "the stream ends without a sha256: the snapshot is not whole");
    }
    this.#isFinishing = true;
    const snapshot = await this.#upload.finish(this.#sha256);
    this.#upload = undefined;
    this.#end(() => this.#answer(null, create(PutSnapshotResponseSchema, { snapshot: toSnapshot(snapshot) })));
  }

  /**
   * Answers at once, whatever the disk is doing. Not when the snapshot is being made to count, which may succeed: then who
   * ends the call without an answer says the truth.
   */
  #giveUp(failure: Failure): void {
    if (!this.#isFinishing) this.#end(() => this.#answer(this.#context.translator.callError(failure)));
  }

  /** Once. What is not stored by now is given up, after what is being done with it. */
  #end(answer?: () => void): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    answer?.();
    this.#work = this.#work.then(() => this.#discard());
  }

  async #discard(): Promise<void> {
    const upload = this.#upload;
    this.#upload = undefined;
    await upload?.discard();
  }

  #expectPart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#giveUp(invalidArgument("part", `the next one has to come within ${PART_TIMEOUT_MS} ms`));
    }, PART_TIMEOUT_MS);
  }
}
