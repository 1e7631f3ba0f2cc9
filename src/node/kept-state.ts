import type { Failure } from "../failure.ts";
import type { Input } from "../raft/input.ts";
import type { Raft } from "../raft/raft.ts";
import { LogStart } from "./log-start.ts";
import type { NodeOptions } from "./options.ts";
import type { NodePorts } from "./ports.ts";
import { Retention } from "./retention.ts";
import { Sessions } from "./sessions.ts";
import { type SubscriptionNode, Subscriptions } from "./subscriptions.ts";

export interface KeptStateHooks {
  /** Called when there is more to do in a turn. */
  readonly onProgress: () => void;
  readonly input: (input: Input) => void;
  /** What the log takes on the disk; 0 until it was measured. */
  readonly logBytes: () => number;
}

/** What this node knows by its log, beside the log itself: sessions, durable subscribers, and snapshots of what is gone. */
export class KeptState {
  readonly sessions: Sessions;
  readonly subscriptions: Subscriptions;
  readonly retention: Retention;
  readonly logStart: LogStart;

  /** `node` is whose it is. */
  constructor(raft: Raft, ports: NodePorts, options: NodeOptions, node: SubscriptionNode, hooks: KeptStateHooks) {
    const { onProgress, input } = hooks;
    const sessions = new Sessions(raft, ports.storage, options, {
      onProgress,
      onTaken: (bytes) => {
        this.logStart.snapshots.onApplied(bytes);
        this.retention.onTaken(bytes);
        this.subscriptions.onProgress();
      },
      onSubscription: (op) => this.subscriptions.onSubscription(op),
    });
    this.sessions = sessions;
    this.subscriptions = new Subscriptions(raft, sessions, ports.clock, options.proposalTimeoutMs, node);
    const { onRetentionEvent } = ports;
    this.retention = new Retention(raft, sessions, this.subscriptions, hooks.logBytes, options, onRetentionEvent);
    this.logStart = new LogStart(raft, ports, options, sessions, { onProgress, input });
  }

  /** A turn's Ready is taken. */
  onTurn(nowMs: number): void {
    this.logStart.onTurn();
    this.retention.onTurn(nowMs);
  }

  /** A snapshot of another member has replaced the log, durably. */
  onReset(): void {
    this.logStart.onReset();
    this.retention.onReset();
    this.subscriptions.onReplaced();
  }

  end(failure: Failure): void {
    this.logStart.end(failure);
    this.subscriptions.failAll(failure);
  }
}
