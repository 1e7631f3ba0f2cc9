import type { Clock } from "../clock.ts";
import type { BenchPlan } from "./bench-options.ts";
import { closedLoop, openLoop, type Schedule } from "./bench-schedule.ts";
import { Tally } from "./bench-tally.ts";

/** What became of one proposal. */
export interface Answer {
  readonly number: number;
  /** Undefined when it is committed. */
  readonly failed: Failed | undefined;
}

export interface Failed {
  /** As in the README, or the name of a status that is not one of ours. */
  readonly reason: string;
  /** What the node asks to wait for; undefined when it doesn't. */
  readonly retryAfterMs: number | undefined;
  readonly error: Error;
}

/** Where proposals go. */
export interface Outlet {
  /** Whether some can be sent now. When it turns true again, `onReady` of the load is to be called. */
  readonly ready: boolean;
  /** Only when ready. Each number gets one answer by `onAnswers`, never within this call. */
  send(numbers: readonly number[]): void;
}

/** Between a failure and the next proposal, where the node doesn't ask for longer: failures must not come in a whirl. */
const MIN_PAUSE_MS = 50;
const MAX_PAUSE_MS = 5_000;

/** Without a single acknowledgement nothing is learned by going on; at once, where a node says that none can succeed. */
const GIVE_UP_MS = 10_000;

/** How long a run that was stopped waits for answers. */
const STOPPED_WAIT_MS = 1_000;

/** Sends proposals when they are due, as many as may be without an answer, until the time is over. */
export class Load {
  readonly tally: Tally;
  /** Resolves when all is answered, or given up. */
  readonly ended: Promise<void>;
  readonly startMs: number;
  readonly #plan: BenchPlan;
  readonly #clock: Clock;
  readonly #outlet: Outlet;
  readonly #schedule: Schedule;
  readonly #end: () => void;
  /** When each proposal without an answer was due. */
  readonly #outstanding = new Map<number, number>();
  #next = 0;
  #pausedUntilMs = 0;
  /** From then on nothing is waited for. */
  #deadlineMs: number;
  #isStopped = false;
  #hasEnded = false;
  #lastFailed: Failed | undefined;
  #timer: { readonly atMs: number; readonly cancel: () => void } | undefined;

  /** Starts nothing yet; the time runs from now. */
  constructor(plan: BenchPlan, clock: Clock, outlet: Outlet) {
    const { warmUpMs, durationMs, timeoutMs, ratePerSecond } = plan;
    this.#plan = plan;
    this.#clock = clock;
    this.#outlet = outlet;
    this.startMs = clock.nowMs();
    const fromMs = this.startMs + warmUpMs;
    this.tally = new Tally(fromMs, fromMs + durationMs);
    this.#deadlineMs = this.tally.toMs + timeoutMs;
    this.#schedule = ratePerSecond === undefined ? closedLoop : openLoop(this.startMs, ratePerSecond);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
  }

  /** Why the last one failed, of those that did. */
  get lastFailed(): Failed | undefined {
    return this.#lastFailed;
  }

  /** To be called at the start, and when the outlet is ready again. */
  onReady(): void {
    this.#turn();
  }

  onAnswers(answers: readonly Answer[]): void {
    if (this.#hasEnded) return;
    const nowMs = this.#clock.nowMs();
    for (const { number, failed } of answers) {
      const dueMs = this.#outstanding.get(number);
      if (dueMs === undefined) continue;
      this.#outstanding.delete(number);
      if (failed === undefined) this.tally.onAcknowledged(dueMs, nowMs);
      else this.#onFailed(failed, dueMs, nowMs);
    }
    this.#turn();
  }

  /** Sends nothing more, and waits for answers for a moment only. The measured time ends now, if it hasn't yet. */
  stop(): void {
    const nowMs = this.#clock.nowMs();
    this.#isStopped = true;
    this.tally.cut(nowMs);
    this.#deadlineMs = Math.min(this.#deadlineMs, nowMs + STOPPED_WAIT_MS);
    this.#turn();
  }

  #onFailed(failed: Failed, dueMs: number, nowMs: number): void {
    this.#lastFailed = failed;
    this.tally.onFailed(dueMs, failed.reason);
    const pauseMs = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, failed.retryAfterMs ?? 0));
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, nowMs + pauseMs);
  }

  /** Sends what is due, ends when nothing is left to wait for, else sees to the next turn. */
  #turn(): void {
    if (this.#hasEnded) return;
    const nowMs = this.#clock.nowMs();
    if (this.#isHopeless(nowMs)) return this.stop();
    if (nowMs < this.#deadlineMs) this.#send(nowMs);
    if (this.#isOver(nowMs)) this.#onOver();
    else this.#wakeAt(this.#nextTurnMs(nowMs));
  }

  #send(nowMs: number): void {
    if (!this.#maySend(nowMs)) return;
    const numbers: number[] = [];
    while (this.#outstanding.size < this.#plan.inFlight) {
      const dueMs = this.#schedule.dueMs(this.#next, nowMs);
      if (dueMs > nowMs || dueMs >= this.tally.toMs) break;
      this.#outstanding.set(this.#next, dueMs);
      this.tally.onSent(dueMs, nowMs);
      numbers.push(this.#next++);
    }
    if (numbers.length > 0) this.#outlet.send(numbers);
  }

  #isHopeless(nowMs: number): boolean {
    if (this.#isStopped || this.tally.allAcknowledged > 0) return false;
    return nowMs >= this.startMs + GIVE_UP_MS || this.#lastFailed?.reason === "INVALID_ARGUMENT";
  }

  #maySend(nowMs: number): boolean {
    return this.#outlet.ready && !this.#isStopped && nowMs >= this.#pausedUntilMs;
  }

  #isOver(nowMs: number): boolean {
    if (nowMs >= this.#deadlineMs) return true;
    if (nowMs < this.tally.toMs || this.#outstanding.size > 0) return false;
    return this.#isStopped || this.#schedule.dueMs(this.#next, nowMs) >= this.tally.toMs;
  }

  #nextTurnMs(nowMs: number): number {
    const turns = [nowMs < this.tally.toMs ? this.tally.toMs : this.#deadlineMs];
    if (this.tally.allAcknowledged === 0 && !this.#isStopped) turns.push(this.startMs + GIVE_UP_MS);
    if (nowMs < this.#pausedUntilMs) turns.push(this.#pausedUntilMs);
    else if (this.#outlet.ready && this.#outstanding.size < this.#plan.inFlight) {
      const dueMs = this.#schedule.dueMs(this.#next, nowMs);
      if (dueMs > nowMs) turns.push(dueMs);
    }
    return Math.min(...turns);
  }

  #wakeAt(atMs: number): void {
    if (this.#timer?.atMs === atMs) return;
    this.#timer?.cancel();
    const cancel = this.#clock.setTimer(Math.max(0, atMs - this.#clock.nowMs()), () => {
      this.#timer = undefined;
      this.#turn();
    });
    this.#timer = { atMs, cancel };
  }

  #onOver(): void {
    this.#hasEnded = true;
    this.#timer?.cancel();
    for (const dueMs of this.#outstanding.values()) this.tally.onFailed(dueMs, "UNANSWERED");
    const { fromMs, toMs } = this.tally;
    const firstUnsent = Math.max(this.#next, this.#schedule.countBefore(fromMs));
    this.tally.onNeverSent(this.#schedule.countBefore(toMs) - firstUnsent);
    this.#end();
  }
}
