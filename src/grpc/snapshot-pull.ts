import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type Client, type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import {
  type InstallSnapshotHeader,
  type InstallSnapshotRequest,
  InstallSnapshotRequestSchema,
  type InstallSnapshotResponse,
  RaftService,
} from "../../gen/raft/v1/raft_pb.js";
import { Failure } from "../failure.ts";
import type { SnapshotTransfers, SnapshotWriter } from "../node/snapshot-transfers.ts";
import type { FetchedSnapshot } from "../node/transport.ts";
import type { EntryId, NodeId } from "../raft/types.ts";
import { methodDefinition } from "./definition.ts";
import { type Handshakes, isRefusal } from "./handshakes.ts";
import { formatFromWire } from "./snapshot-codec.ts";
import { failureFrom } from "./status.ts";
import { indexFromWire, invalidArgument, termFromWire, toWire } from "./uint64.ts";

const METHOD = methodDefinition(RaftService.method.installSnapshot);

/** The sidecar's part is held in memory. That of the most clients and sequences there can be is a fifth of this. */
const MAX_OWN_STATE_BYTES = 64 * 1024 * 1024;

const SHA256_BYTES = 32;

/** From a break to the next call. */
const RETRY_MS = 250;

/** So long no byte may come until the member is given up. */
const GIVE_UP_MS = 60_000;

/** After these another try is worth it. */
const PASSING: ReadonlySet<status> = new Set([status.UNAVAILABLE, status.RESOURCE_EXHAUSTED]);

export interface SnapshotPullOptions {
  readonly member: NodeId;
  readonly last: EntryId;
  readonly client: () => Client;
  readonly handshakes: Handshakes;
  readonly snapshots: SnapshotTransfers;
}

/** What a member says of its snapshot. */
interface Header {
  readonly format: string;
  readonly size: number;
  readonly sha256: Uint8Array;
  readonly ownStateSize: number;
  readonly ownStateSha256: Uint8Array;
}

/** How far it has come, in bytes; of 0 until the member has said it. */
export interface PullProgress {
  readonly member: NodeId;
  readonly index: number;
  readonly received: number;
  readonly total: number;
}

/** Brings one member's snapshot here, going on after every break where it was. */
export class SnapshotPull {
  readonly #options: SnapshotPullOptions;
  #call: ClientReadableStream<InstallSnapshotResponse> | undefined;
  #header: Header | undefined;
  #ownState = Buffer.alloc(0);
  #ownStateBytes = 0;
  #writer: SnapshotWriter | undefined;
  #lastByteMs = performance.now();
  #isClosed = false;

  constructor(options: SnapshotPullOptions) {
    this.#options = options;
  }

  get progress(): PullProgress {
    const { member, last } = this.#options;
    const total = (this.#header?.ownStateSize ?? 0) + (this.#header?.size ?? 0);
    return { member, index: last.index, received: this.#received, total };
  }

  /** Rejects with a Failure when the member has it no more, or it can't be taken; or when no byte has come for a minute. */
  async run(): Promise<FetchedSnapshot> {
    try {
      for (;;) {
        const error = await this.#pull().then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error === undefined) return this.#whole();
        if (error instanceof Failure || this.#isClosed) throw error;
        if (performance.now() - this.#lastByteMs > GIVE_UP_MS) throw error;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    } catch (error) {
      await this.#writer?.discard();
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#call?.cancel();
  }

  get #received(): number {
    return this.#ownStateBytes + (this.#writer?.size ?? 0);
  }

  /** One call, from where the last one broke. Resolves at its end. */
  async #pull(): Promise<void> {
    const { client, member, last, handshakes } = this.#options;
    const request = create(InstallSnapshotRequestSchema, {
      handshake: handshakes.own(member),
      lastIndex: toWire(last.index),
      lastTerm: toWire(last.term),
      offset: toWire(this.#received),
    });
    const call: ClientReadableStream<InstallSnapshotResponse> = client().makeServerStreamRequest(
      METHOD.path,
      METHOD.requestSerialize as (message: InstallSnapshotRequest) => Buffer,
      METHOD.responseDeserialize as (bytes: Buffer) => InstallSnapshotResponse,
      request,
    );
    this.#call = call;
    let isFirst = true;
    try {
      for await (const { part } of call as AsyncIterable<InstallSnapshotResponse>) {
        if (isFirst) await this.#onHeader(part);
        else await this.#onChunk(part);
        isFirst = false;
      }
    } catch (error) {
      throw finalFailure(error) ?? error;
    } finally {
      call.cancel();
    }
  }

  async #onHeader(part: InstallSnapshotResponse["part"]): Promise<void> {
    if (part.case !== "header") throw invalidArgument("part", "must be the header at first");
    await this.#judge(part.value);
    const header = headerFrom(part.value, this.#options.last);
    if (this.#header !== undefined && !isSame(this.#header, header)) {
      throw new Failure("SNAPSHOT_OUTDATED", "the member has replaced its snapshot by another of the same entry");
    }
    this.#header = header;
    if (this.#writer !== undefined) return;
    this.#writer = await this.#options.snapshots.create(header.size);
    this.#ownState = Buffer.alloc(header.ownStateSize);
  }

  async #onChunk(part: InstallSnapshotResponse["part"]): Promise<void> {
    const header = this.#header;
    if (part.case !== "chunk" || header === undefined)
      throw invalidArgument("part", "must be a chunk after the header");
    const { value: chunk } = part;
    if (this.#received + chunk.length > header.ownStateSize + header.size) {
      throw invalidArgument("chunk", "is beyond the end of the snapshot");
    }
    const own = Math.min(chunk.length, header.ownStateSize - this.#ownStateBytes);
    this.#ownState.set(chunk.subarray(0, own), this.#ownStateBytes);
    this.#ownStateBytes += own;
    this.#lastByteMs = performance.now();
    const rest = chunk.subarray(own);
    if (rest.length > 0) await this.#options.snapshots.failing(async () => this.#writer?.write(rest));
  }

  #judge({ handshake }: InstallSnapshotHeader): Promise<void> {
    const { handshakes, member } = this.#options;
    return new Promise((resolve, reject) => {
      handshakes.judge(handshake, member, (result) => (isRefusal(result) ? reject(result) : resolve()));
    });
  }

  /** What has come, checked. */
  #whole(): FetchedSnapshot {
    const [header, writer, ownState] = [this.#header, this.#writer, this.#ownState];
    if (header === undefined || writer === undefined || this.#received < header.ownStateSize + header.size) {
      throw invalidArgument("part", "the stream ends before the snapshot does");
    }
    const { format, size, sha256 } = header;
    if (!createHash("sha256").update(ownState).digest().equals(header.ownStateSha256)) throw mismatch("sidecar's");
    if (!Buffer.from(writer.sha256()).equals(sha256)) throw mismatch("application's");
    const { last, snapshots } = this.#options;
    return {
      last,
      format,
      size,
      sha256,
      ownState,
      keep: (done) => snapshots.keep(writer, { last }, done),
      discard: () => void writer.discard().catch(() => {}),
    };
  }
}

/** Throws INVALID_ARGUMENT for what no correct member says. */
function headerFrom({ snapshot, ownStateSize, ownStateSha256 }: InstallSnapshotHeader, last: EntryId): Header {
  if (snapshot === undefined) throw invalidArgument("header.snapshot", "must be set");
  const index = indexFromWire(snapshot.index, "header.snapshot.index");
  const term = termFromWire(snapshot.term, "header.snapshot.term");
  if (index !== last.index || term !== last.term) throw invalidArgument("header.snapshot", "must be the one asked for");
  const { sha256 } = snapshot;
  if (sha256.length !== SHA256_BYTES || ownStateSha256.length !== SHA256_BYTES) {
    throw invalidArgument("header", `must have checksums of ${SHA256_BYTES} bytes`);
  }
  const ownBytes = indexFromWire(ownStateSize, "header.own_state_size");
  if (ownBytes > MAX_OWN_STATE_BYTES) {
    throw invalidArgument("header.own_state_size", `must be at most ${MAX_OWN_STATE_BYTES}, is ${ownBytes}`);
  }
  return {
    format: formatFromWire(snapshot.format, "header.snapshot.format"),
    size: indexFromWire(snapshot.size, "header.snapshot.size"),
    sha256: Uint8Array.from(sha256),
    ownStateSize: ownBytes,
    ownStateSha256: Uint8Array.from(ownStateSha256),
  };
}

function isSame(a: Header, b: Header): boolean {
  const isEqual = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;
  return isEqual(a.sha256, b.sha256) && isEqual(a.ownStateSha256, b.ownStateSha256) && a.size === b.size;
}

function mismatch(whose: string): Failure {
  return new Failure("CHECKSUM_MISMATCH", `the SHA-256 of the ${whose} part that came is another`);
}

/** What the member says and will say again; undefined when the connection broke, or it shuts down or has much to do. */
function finalFailure(error: unknown): Failure | undefined {
  return isServiceError(error) && !PASSING.has(error.code) ? failureFrom(error) : undefined;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "metadata" in error && "code" in error;
}
