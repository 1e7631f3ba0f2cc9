import { create } from "@bufbuild/protobuf";
import { type Client, type ServiceError, status } from "@grpc/grpc-js";
import {
  LogService,
  type ProposeResult,
  type ProposeStreamRequest,
  type ProposeStreamResponse,
} from "../../gen/raft/v1/log_pb.js";
import { Failure } from "../failure.ts";
import type { CommandOutcome } from "../node/api.ts";
import { methodDefinition } from "./definition.ts";
import { fromProposeResult } from "./propose-result.ts";

/** A message's commands are at most 2 MiB; two messages of half that cost no more than one. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

export interface StreamItem {
  /** Unique among those without a result. */
  readonly requestId: number;
  readonly command: Uint8Array;
}

export interface StreamResult {
  readonly requestId: number;
  readonly outcome: CommandOutcome;
}

export interface ProposalStreamEvents {
  /** The results of one message. Never within a call of `send`. */
  readonly onResults: (results: readonly StreamResult[]) => void;
  /** Called once. What has no result by then never gets one. Undefined when the server ended the stream well. */
  readonly onEnd: (error: ServiceError | undefined) => void;
}

const METHOD = methodDefinition(LogService.method.proposeStream);

/** The client's side of one ProposeStream. */
export class ProposalStream {
  readonly #call;
  #error: ServiceError | undefined;

  constructor(client: Client, { onResults, onEnd }: ProposalStreamEvents) {
    this.#call = client.makeBidiStreamRequest<ProposeStreamRequest, ProposeStreamResponse>(
      METHOD.path,
      METHOD.requestSerialize,
      METHOD.responseDeserialize as (bytes: Buffer) => ProposeStreamResponse,
    );
    this.#call.on("data", ({ results }: ProposeStreamResponse) => {
      const read = this.#read(results);
      if (read !== undefined) onResults(read);
    });
    // "status" follows, also where all is well.
    this.#call.on("error", (error: ServiceError) => {
      this.#error = error;
    });
    this.#call.once("status", () => onEnd(this.#error));
  }

  /** In as few messages as their bytes allow. The caller bounds what has no result: all of it may wait in memory. */
  send(items: readonly StreamItem[]): void {
    let message: StreamItem[] = [];
    let bytes = 0;
    for (const item of items) {
      if (message.length > 0 && bytes + item.command.length > MAX_MESSAGE_BYTES) {
        this.#write(message);
        message = [];
        bytes = 0;
      }
      message.push(item);
      bytes += item.command.length;
    }
    if (message.length > 0) this.#write(message);
  }

  /** Half-closes: the server answers what it has, then ends the stream. */
  end(): void {
    this.#call.end();
  }

  /** Ends it at once, with DEADLINE_EXCEEDED. */
  giveUp(reason: string): void {
    this.#cancel(status.DEADLINE_EXCEEDED, reason);
  }

  /** Undefined when the server broke the protocol, which ends the stream. */
  #read(results: readonly ProposeResult[]): StreamResult[] | undefined {
    try {
      return results.map((result, i) => ({
        requestId: Number(result.requestId),
        outcome: fromProposeResult(result, `results[${i}]`),
      }));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#cancel(status.INTERNAL, `the answer can't be read: ${error.message}`);
      return undefined;
    }
  }

  #cancel(code: status, reason: string): void {
    this.#call.call?.cancelWithStatus(code, reason);
  }

  #write(items: readonly StreamItem[]): void {
    const request = create(LogService.method.proposeStream.input, {
      items: items.map(({ requestId, command }) => ({ requestId: BigInt(requestId), command })),
    });
    this.#call.write(request);
  }
}
