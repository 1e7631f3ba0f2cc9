import type { Clock } from "../clock.ts";
import { Failure } from "../failure.ts";
import type { Raft } from "../raft/raft.ts";
import { MAX_SUBSCRIBERS, type Subscription } from "../session/cursor-table.ts";
import { type Acknowledged, encodeSubscriptionOp, type SubscriptionOp } from "../session/subscription.ts";
import type { NodeApi } from "./api.ts";
import { cursorAhead, lagging, noSubscriber, outcomeUnknown, overloaded, subscriberReplaced } from "./failures.ts";
import { IndexWaits } from "./index-waits.ts";
import type { Sessions } from "./sessions.ts";

/** From one entry with acknowledgements to the next of this node, at least: what comes meanwhile shares the next one. */
const FLUSH_INTERVAL_MS = 250;

/** Calls without an answer. */
const MAX_UNANSWERED = 16_384;

/** What subscriptions need of their node. */
export type SubscriptionNode = Pick<NodeApi, "propose" | "readIndex">;

type Done<T> = (result: T | Failure) => void;

interface Waiting extends Acknowledged {
  readonly done: Done<Subscription>;
}

/**
 * The durable subscribers of the cluster, as this node serves them: whoever opens a stream, acknowledges or is removed does so
 * by an entry of the log, and hears of it once this node's cursors have come that far.
 */
export class Subscriptions {
  readonly #raft: Raft;
  readonly #sessions: Pick<Sessions, "cursors" | "index">;
  readonly #clock: Clock;
  readonly #node: SubscriptionNode;
  /** To be written with the next entry. */
  #waiting: Waiting[] = [];
  #unanswered = 0;
  #isFlushing = false;
  #cancelFlush: () => void = () => {};
  #flushedMs = Number.NEGATIVE_INFINITY;
  /** For the cursors to come to an index. */
  readonly #waits: IndexWaits;
  /** By name, the streams that are open here. */
  readonly #streams = new Map<string, Set<OpenStream>>();
  #endedWith: Failure | undefined;

  /** A node that lags is waited for no longer than `timeoutMs`. */
  constructor(
    raft: Raft,
    sessions: Pick<Sessions, "cursors" | "index">,
    clock: Clock,
    timeoutMs: number,
    node: SubscriptionNode,
  ) {
    this.#raft = raft;
    this.#sessions = sessions;
    this.#clock = clock;
    this.#waits = new IndexWaits(clock, timeoutMs);
    this.#node = node;
  }

  list(): Subscription[] {
    return this.#sessions.cursors.list();
  }

  /**
   * Opens a stream of `name` in place of any older one, on whatever node. A new name begins after `newCursor`. `done` is called
   * once, with where the subscriber is.
   */
  open(name: string, newCursor: number, done: Done<Subscription>): void {
    // It would be an entry that changes nothing.
    if (this.#isTooMany(name)) return done(overloaded("durable subscribers", MAX_SUBSCRIBERS));
    this.#serve(done, (answer) => {
      this.#propose({ kind: "open", name, newCursor }, (result) => {
        if (result instanceof Failure) return answer(result);
        const opened = this.#sessions.cursors.get(name);
        if (opened?.generation === result) return answer(opened);
        const tooMany = this.#isTooMany(name);
        answer(tooMany ? overloaded("durable subscribers", MAX_SUBSCRIBERS) : subscriberReplaced(name));
      });
    });
  }

  /** Calls `onReplaced` once a stream of this generation is no longer the newest of its name. Returns how to stop. */
  watch({ name, generation }: Subscription, onReplaced: (failure: Failure) => void): () => void {
    const stream = { generation, onReplaced };
    const streams = this.#streams.get(name) ?? new Set();
    this.#streams.set(name, streams.add(stream));
    this.#endReplaced(name);
    return () => {
      streams.delete(stream);
      if (streams.size === 0 && this.#streams.get(name) === streams) this.#streams.delete(name);
    };
  }

  /** `done` is called once: with the cursor once it is committed, on a majority's disks. Below the cursor nothing changes. */
  acknowledge(acknowledged: Acknowledged, done: Done<Subscription>): void {
    this.#serve(done, (answer) => {
      const waiting = { ...acknowledged, done: answer };
      if (!this.#mayBeBehind(acknowledged)) return this.#take(waiting, this.#raft.lastApplied);
      this.#catchUp((result) => (result instanceof Failure ? answer(result) : this.#take(waiting, result)));
    });
  }

  /** Forgets a subscriber, unless it has got beyond `upTo` meanwhile. `done` is called once. */
  remove(name: string, upTo: number, done: Done<undefined>): void {
    this.#serve(done, (answer) => {
      const remove = (): void => {
        if (this.#sessions.cursors.get(name) === undefined) return answer(noSubscriber(name));
        this.#propose({ kind: "remove", name, upTo }, (result) =>
          answer(result instanceof Failure ? result : undefined),
        );
      };
      if (this.#sessions.cursors.get(name) !== undefined) return remove();
      this.#catchUp((result) => (result instanceof Failure ? answer(result) : remove()));
    });
  }

  /** The cursors have moved on. */
  onProgress(): void {
    this.#waits.onIndex(this.#sessions.index);
  }

  /** An entry has done this to the cursors. */
  onSubscription(op: SubscriptionOp): void {
    if (op.kind !== "acknowledge") this.#endReplaced(op.name);
  }

  /** The cursors are others: a snapshot has replaced the log. */
  onReplaced(): void {
    for (const name of [...this.#streams.keys()]) this.#endReplaced(name);
    this.onProgress();
  }

  failAll(failure: Failure): void {
    this.#endedWith = failure;
    this.#cancelFlush();
    for (const { done } of this.#waiting.splice(0)) done(failure);
    this.#waits.endAll();
  }

  /** Counts a call until it is answered, or refuses it when there are too many. */
  #serve<T>(done: Done<T>, serve: (answer: Done<T>) => void): void {
    if (this.#unanswered >= MAX_UNANSWERED) return done(overloaded("calls for durable subscribers", MAX_UNANSWERED));
    this.#unanswered++;
    serve((result) => {
      this.#unanswered--;
      done(result);
    });
  }

  /** This node may not have heard yet of what others have done. `done` is called with an index to which it has, from now on. */
  #catchUp(done: Done<number>): void {
    this.#node.readIndex(undefined, (result) => {
      if (result.kind === "failed") return done(result.failure);
      this.#whenAt(result.index, (isThere) => done(isThere ? result.index : (this.#endedWith ?? lagging())));
    });
  }

  #isTooMany(name: string): boolean {
    const { cursors } = this.#sessions;
    return cursors.isFull && cursors.get(name) === undefined;
  }

  /** Whether the log may hold more of it than this node's cursors. */
  #mayBeBehind({ name, generation, cursor }: Acknowledged): boolean {
    const known = this.#sessions.cursors.get(name);
    return known === undefined || generation > known.generation || cursor > this.#raft.lastApplied;
  }

  /** What of it can be told now; the rest waits for the next entry. Everything to `committed` is known here. */
  #take(waiting: Waiting, committed: number): void {
    if (this.#endedWith !== undefined) return waiting.done(this.#endedWith);
    const known = this.#known(waiting);
    if (known instanceof Failure) return waiting.done(known);
    if (waiting.cursor > committed) return waiting.done(cursorAhead(waiting.cursor, committed));
    if (waiting.cursor <= known.cursor) return waiting.done(known);
    this.#waiting.push(waiting);
    if (!this.#isFlushing) this.#flushSoon();
  }

  #known({ name, generation }: Acknowledged): Subscription | Failure {
    const known = this.#sessions.cursors.get(name);
    if (known === undefined) return noSubscriber(name);
    return known.generation === generation ? known : subscriberReplaced(name);
  }

  #flushSoon(): void {
    this.#isFlushing = true;
    const delayMs = Math.max(0, this.#flushedMs + FLUSH_INTERVAL_MS - this.#clock.nowMs());
    this.#cancelFlush = this.#clock.setTimer(delayMs, () => this.#flush());
  }

  #flush(): void {
    const waiting = this.#waiting.splice(0);
    this.#flushedMs = this.#clock.nowMs();
    const highest = new Map<string, Acknowledged>();
    for (const { name, generation, cursor } of waiting) {
      const other = highest.get(name);
      const isNewer = other === undefined || generation > other.generation;
      if (isNewer || (generation === other.generation && cursor > other.cursor))
        highest.set(name, { name, generation, cursor });
    }
    this.#propose({ kind: "acknowledge", cursors: [...highest.values()] }, (result) => {
      for (const each of waiting) each.done(result instanceof Failure ? result : this.#known(each));
      this.#isFlushing = false;
      if (this.#waiting.length > 0) this.#flushSoon();
    });
  }

  /** `done` is called with the entry's index once this node's cursors have it. */
  #propose(op: SubscriptionOp, done: (result: number | Failure) => void): void {
    this.#node.propose({
      commands: [encodeSubscriptionOp(op)],
      isSubscription: true,
      deadlineMs: undefined,
      ordered: false,
      done: (result) => {
        if (result.kind === "failed") return done(result.failure);
        if (result.kind === "each") return done(outcomeUnknown("the leader's answer is not to what was asked"));
        const { index } = result.first;
        this.#whenAt(index, (isThere) => {
          done(isThere ? index : outcomeUnknown("this node did not take in what was committed"));
        });
      },
    });
  }

  #whenAt(index: number, then: (isThere: boolean) => void): void {
    if (this.#sessions.index >= index) then(true);
    else if (this.#endedWith !== undefined) then(false);
    else this.#waits.add(index, then);
  }

  #endReplaced(name: string): void {
    const newest = this.#sessions.cursors.get(name)?.generation ?? Number.POSITIVE_INFINITY;
    for (const stream of [...(this.#streams.get(name) ?? [])]) {
      if (stream.generation >= newest) continue;
      stream.onReplaced(subscriberReplaced(name));
    }
  }
}

interface OpenStream {
  readonly generation: number;
  readonly onReplaced: (failure: Failure) => void;
}
