import type { Raft } from "../raft/raft.ts";
import type { Subscription } from "../session/cursor-table.ts";
import { LogWeight } from "./log-weight.ts";
import type { NodeOptions } from "./options.ts";
import type { Sessions } from "./sessions.ts";
import type { Subscriptions } from "./subscriptions.ts";

/** What happens once a durable subscriber has more to catch up with than the log is to keep. */
export const RETENTION_POLICIES = ["block-compaction", "drop-subscriber"] as const;
export type RetentionPolicy = (typeof RETENTION_POLICIES)[number];

/** Said before it happens: when so much of what is kept is used. */
const WARN_SHARE = 0.8;

/** From one look to the next. */
const CHECK_INTERVAL_MS = 1_000;

/** How far the slowest durable subscriber is behind, and what that means. */
export interface RetentionStatus {
  readonly policy: RetentionPolicy;
  /** "" when there is no durable subscriber. */
  readonly slowest: string;
  readonly lagEntries: number;
  /** What the log takes, in bytes; 0 until it was measured. */
  readonly logBytes: number;
  /** `near`: the policy acts soon, if nothing changes; `over`: it acts. */
  readonly level: "well" | "near" | "over";
}

type RetentionSessions = Pick<Sessions, "cursors" | "areKnown" | "index">;

/** Looks whether the log keeps too much for a durable subscriber. Compaction waits for the slowest in any case. */
export class Retention {
  readonly #raft: Raft;
  readonly #sessions: RetentionSessions;
  readonly #subscriptions: Pick<Subscriptions, "remove">;
  readonly #logBytes: () => number;
  readonly #options: NodeOptions;
  readonly #onChange: (status: RetentionStatus) => void;
  #weight: LogWeight;
  /** The status that was told of last. */
  #told: Pick<RetentionStatus, "level" | "slowest"> = { level: "well", slowest: "" };
  #checkedMs = Number.NEGATIVE_INFINITY;
  #isDropping = false;

  /** `onChange` is called when the level changes, and when the policy is to act on another subscriber. */
  constructor(
    raft: Raft,
    sessions: RetentionSessions,
    subscriptions: Pick<Subscriptions, "remove">,
    logBytes: () => number,
    options: NodeOptions,
    onChange: (status: RetentionStatus) => void,
  ) {
    this.#raft = raft;
    this.#sessions = sessions;
    this.#subscriptions = subscriptions;
    this.#logBytes = logBytes;
    this.#options = options;
    this.#onChange = onChange;
    this.#weight = new LogWeight(sessions.index);
  }

  get status(): RetentionStatus {
    const slowest = this.#slowest;
    const logBytes = this.#logBytes();
    const { retentionPolicy: policy } = this.#options;
    if (slowest === undefined) return { policy, slowest: "", lagEntries: 0, logBytes, level: "well" };
    const lagEntries = Math.max(0, this.#raft.lastApplied - slowest.cursor);
    return { policy, slowest: slowest.name, lagEntries, logBytes, level: this.#levelOf(slowest, logBytes) };
  }

  /** A frame of so many bytes was taken in. */
  onTaken(bytes: number): void {
    this.#weight.onTaken(this.#sessions.index, bytes);
  }

  /** A snapshot has replaced the log. */
  onReset(): void {
    this.#weight = new LogWeight(this.#sessions.index);
  }

  /** A turn has passed. */
  onTurn(nowMs: number): void {
    if (nowMs < this.#checkedMs + CHECK_INTERVAL_MS) return;
    this.#checkedMs = nowMs;
    const { status } = this;
    const { level, slowest } = status;
    const wasOver = this.#told.level === "over";
    const isTold = level === this.#told.level && (level !== "over" || slowest === this.#told.slowest);
    this.#told = { level, slowest };
    if (!isTold) this.#onChange(status);
    // Who looks at the status has seen it by now.
    if (level === "over" && wasOver && status.policy === "drop-subscriber") this.#drop();
  }

  /** By an entry of the leader, so that all nodes forget it alike; not if it has moved on meanwhile. */
  #drop(): void {
    const slowest = this.#slowest;
    if (slowest === undefined || this.#isDropping || !this.#sessions.areKnown) return;
    this.#isDropping = true;
    this.#subscriptions.remove(slowest.name, slowest.cursor, () => {
      this.#isDropping = false;
    });
  }

  get #slowest(): Subscription | undefined {
    const { cursors } = this.#sessions;
    const { lowest } = cursors;
    return lowest === Number.POSITIVE_INFINITY ? undefined : cursors.list().find(({ cursor }) => cursor === lowest);
  }

  /** By what the log keeps for it: not by what is gone anyway, nor by what is kept for others. */
  #levelOf({ cursor }: Subscription, logBytes: number): RetentionStatus["level"] {
    const { log, lastApplied } = this.#raft;
    const { retainEntries, retainBytes } = this.#options;
    const keptAfter = Math.max(cursor, log.base.index);
    const entries = Math.max(0, lastApplied - keptAfter);
    const bytes = this.#weight.after(keptAfter) ?? logBytes;
    const share = Math.max(entries / retainEntries, bytes / retainBytes);
    if (share >= 1) return "over";
    return share >= WARN_SHARE ? "near" : "well";
  }
}
