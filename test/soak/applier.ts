import { createHash } from "node:crypto";
import { type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import type { ApplyProgress, ApplyStreamResponse, Snapshot } from "../../gen/raft/v1/log_pb.js";
import { failureFrom } from "../../src/grpc/status.ts";
import type { Ledger } from "./ledger.ts";
import { State } from "./state.ts";

/** How its state is encoded as a snapshot. */
export const FORMAT = "soak/1";

/** Statuses that a node's end, or ours, gives a stream. */
const ENDED: readonly number[] = [status.CANCELLED, status.UNAVAILABLE];

/** A durable subscriber's stream is opened by an entry, which fails as a proposal may. */
const NOT_OPENED: readonly string[] = ["OUTCOME_UNKNOWN", "OVERLOADED"];

interface Restoring {
  readonly snapshot: Snapshot;
  readonly chunks: Uint8Array[];
  received: number;
}

/** Folds what ApplyStreams deliver into a state, one stream after the other. What breaks their promise is written down. */
export class Applier {
  readonly name: string;
  state = new State();
  /** The snapshots that it was handed and has taken for its state, and why. */
  readonly restored: string[] = [];
  logId: Uint8Array = new Uint8Array(0);
  readonly #ledger: Ledger;
  /** How far the present stream has come; that of a durable subscriber may begin before the state does. */
  #covered = 0;
  #restoring: Restoring | undefined;
  #began = "";

  constructor(name: string, ledger: Ledger) {
    this.name = name;
    this.#ledger = ledger;
  }

  /** Loses its state, as a service does that starts with an empty disk. */
  forget(): void {
    this.state = new State();
  }

  /** Applies a stream that begins after an index until it ends. `onFrame` is called after each frame. */
  async follow(
    stream: ClientReadableStream<ApplyStreamResponse>,
    afterIndex: number,
    onFrame: (frame: ApplyStreamResponse["frame"]) => void,
  ): Promise<void> {
    this.#covered = afterIndex;
    this.#restoring = undefined;
    await new Promise<void>((resolve) => {
      stream.on("data", ({ frame }: ApplyStreamResponse) => {
        this.#apply(frame);
        onFrame(frame);
      });
      let reason = "";
      stream.on("error", (error: ServiceError) => {
        reason = failureFrom(error)?.reason ?? "";
      });
      stream.on("status", ({ code, details }) => {
        this.#expect(
          ENDED.includes(code) || NOT_OPENED.includes(reason),
          `its stream ended with ${status[code]} ${details}`,
        );
        resolve();
      });
    });
  }

  #apply(frame: ApplyStreamResponse["frame"]): void {
    switch (frame.case) {
      case "header": {
        const { logId, startIndex, firstIndex, nodeId } = frame.value;
        if (startIndex > 0n) this.#covered = Number(startIndex);
        this.#began = `from ${nodeId}, whose log began at ${firstIndex}, on a stream after ${this.#covered}`;
        this.#expect(this.#covered <= this.state.position, `its stream begins after ${this.#covered}`);
        if (logId.length === 0) return;
        if (this.logId.length === 0) this.logId = logId;
        this.#expect(Buffer.compare(logId, this.logId) === 0, "the log is another");
        return;
      }
      case "snapshot":
        this.#restoring = { snapshot: frame.value, chunks: [], received: 0 };
        return this.#onRestoring();
      case "snapshotChunk":
        this.#onChunk(frame.value);
        return;
      case "batch": {
        const { prevIndex, lastIndex, entries } = frame.value;
        this.#expect(Number(prevIndex) === this.#covered, `a batch follows ${prevIndex}, and not ${this.#covered}`);
        for (const entry of entries) {
          this.#expect(Number(entry.index) > this.#covered, `entry ${entry.index} comes after ${this.#covered}`);
          this.#covered = Number(entry.index);
          if (this.#covered <= this.state.position) continue;
          this.state.apply(entry);
          this.#note();
        }
        return this.#cover(Number(lastIndex));
      }
      case "progress":
        return this.#onProgress(frame.value);
      default:
        this.#ledger.violation(this.name, "a frame is unknown");
    }
  }

  #onProgress({ index }: ApplyProgress): void {
    this.#expect(Number(index) >= this.#covered, `progress goes back to ${index} from ${this.#covered}`);
    this.#cover(Number(index));
  }

  #onChunk(chunk: Uint8Array): void {
    const restoring = this.#restoring;
    if (restoring === undefined) return this.#ledger.violation(this.name, "a chunk comes without a snapshot");
    restoring.chunks.push(chunk);
    restoring.received += chunk.length;
    this.#onRestoring();
  }

  #onRestoring(): void {
    if (this.#restoring === undefined || this.#restoring.received < Number(this.#restoring.snapshot.size)) return;
    const { snapshot, chunks } = this.#restoring;
    this.#restoring = undefined;
    const coveredBefore = this.#covered;
    const bytes = Buffer.concat(chunks);
    const sha256 = createHash("sha256").update(bytes).digest();
    this.#expect(sha256.equals(snapshot.sha256), `the snapshot of ${snapshot.index} is not what was put`);
    this.#covered = Number(snapshot.index);
    // A durable subscriber may be beyond what it has acknowledged, and so beyond the snapshot.
    if (this.#covered <= this.state.position) return;
    this.restored.push(`${this.#covered}, at ${this.state.position}, ${this.#began} that had come to ${coveredBefore}`);
    this.state = State.decode(bytes);
    this.#expect(
      this.state.position === this.#covered,
      `the snapshot of ${this.#covered} is of ${this.state.position}`,
    );
  }

  #cover(index: number): void {
    this.#covered = Math.max(this.#covered, index);
    this.state.position = Math.max(this.state.position, index);
  }

  #note(): void {
    this.#ledger.note(this.name, this.state);
  }

  #expect(holds: boolean, what: string): void {
    if (!holds) this.#ledger.violation(this.name, `${what}, at ${this.state.position}`);
  }
}
