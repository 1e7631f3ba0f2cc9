import { Failure } from "../failure.ts";
import { CallFailure } from "../grpc/call-failure.ts";
import type { SidecarClient } from "../grpc/client.ts";
import type { ProposalStream, StreamResult } from "../grpc/proposal-stream.ts";
import type { Answer, Failed } from "./bench-load.ts";

/** Proposals to one node, over one connection. Owns its client. */
export interface Lane {
  send(numbers: readonly number[]): void;
  /** Closes the client once all that was sent is answered; nothing more may be sent. */
  retire(): void;
  /** Closes the client; what is not answered yet stays so. */
  close(): void;
}

export interface LaneEvents {
  readonly onAnswers: (answers: readonly Answer[]) => void;
  /** Nothing more can be sent; all that was sent is answered. */
  readonly onLost: () => void;
  /** Called once, at its end in whatever way. */
  readonly onClosed: () => void;
}

export interface LaneOptions {
  readonly command: Uint8Array;
  readonly timeoutMs: number;
}

/** How often overdue answers are looked for. */
const OVERDUE_POLL_MS = 100;

/** A Propose call for each. */
export class UnaryLane implements Lane {
  readonly #client: SidecarClient;
  readonly #options: LaneOptions;
  readonly #events: LaneEvents;
  #unanswered = 0;
  #isRetired = false;
  #isClosed = false;

  constructor(client: SidecarClient, options: LaneOptions, events: LaneEvents) {
    this.#client = client;
    this.#options = options;
    this.#events = events;
  }

  send(numbers: readonly number[]): void {
    for (const number of numbers) void this.#propose(number);
  }

  retire(): void {
    this.#isRetired = true;
    if (this.#unanswered === 0) this.close();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#client.close();
    this.#events.onClosed();
  }

  async #propose(number: number): Promise<void> {
    const { command, timeoutMs } = this.#options;
    this.#unanswered++;
    const failed = await this.#client
      .propose({ command, id: undefined, expectedTerm: 0 }, timeoutMs)
      .then(() => undefined, failedBy);
    this.#unanswered--;
    this.#events.onAnswers([{ number, failed }]);
    if (this.#isRetired && this.#unanswered === 0) this.close();
  }
}

/** One ProposeStream for all. */
export class StreamLane implements Lane {
  readonly #client: SidecarClient;
  readonly #options: LaneOptions;
  readonly #events: LaneEvents;
  readonly #stream: ProposalStream;
  /** When each was sent that has no result, the oldest first. */
  readonly #sentMs = new Map<number, number>();
  readonly #poll: NodeJS.Timeout;
  #isRetired = false;
  #isClosed = false;

  constructor(client: SidecarClient, options: LaneOptions, events: LaneEvents) {
    this.#client = client;
    this.#options = options;
    this.#events = events;
    this.#stream = client.proposeStream({
      onResults: (results) => this.#onResults(results),
      onEnd: (error) => this.#onEnd(error === undefined ? undefined : new CallFailure(error)),
    });
    this.#poll = setInterval(() => this.#giveUpOverdue(), OVERDUE_POLL_MS);
  }

  send(numbers: readonly number[]): void {
    const nowMs = performance.now();
    for (const number of numbers) this.#sentMs.set(number, nowMs);
    this.#stream.send(numbers.map((number) => ({ requestId: number, command: this.#options.command })));
  }

  retire(): void {
    this.#isRetired = true;
    if (!this.#isClosed) this.#stream.end();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#poll);
    this.#stream.giveUp("the run is over");
    this.#client.close();
    this.#events.onClosed();
  }

  #onResults(results: readonly StreamResult[]): void {
    if (this.#isClosed) return;
    const answers = results.map(({ requestId, outcome }): Answer => {
      this.#sentMs.delete(requestId);
      return { number: requestId, failed: outcome instanceof Failure ? failedBy(outcome) : undefined };
    });
    this.#events.onAnswers(answers);
  }

  /** All that has no result fails as the stream did. */
  #onEnd(error: CallFailure | undefined): void {
    if (this.#isClosed) return;
    const failed = error === undefined ? endedWell() : failedBy(error);
    const unanswered = [...this.#sentMs.keys()].map((number) => ({ number, failed }));
    this.#sentMs.clear();
    this.close();
    if (unanswered.length > 0) this.#events.onAnswers(unanswered);
    if (!this.#isRetired) this.#events.onLost();
  }

  /** One that is late speaks for all behind it: the node hangs. */
  #giveUpOverdue(): void {
    const [oldestMs] = this.#sentMs.values();
    const { timeoutMs } = this.#options;
    if (oldestMs === undefined || performance.now() - oldestMs < timeoutMs) return;
    this.#stream.giveUp(`no answer within ${timeoutMs} ms`);
  }
}

/** Whether another node should be tried: this one may be gone, or says that it has nothing to offer. */
export function movesOn({ error, reason }: Failed): boolean {
  if (error instanceof CallFailure && error.failure === undefined) return error.unreachable;
  return reason === "DRAINING" || reason === "DATA_LOSS" || reason === "NO_LEADER";
}

function failedBy(error: unknown): Failed {
  if (error instanceof Failure) return { reason: error.reason, retryAfterMs: error.retryAfterMs, error };
  if (!(error instanceof CallFailure)) throw error;
  const { failure, code } = error;
  return { reason: failure?.reason ?? code, retryAfterMs: failure?.retryAfterMs, error };
}

function endedWell(): Failed {
  const error = new Error("the server ended the stream without an answer");
  return { reason: "STREAM_ENDED", retryAfterMs: undefined, error };
}
