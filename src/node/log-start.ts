import { assert } from "../assert.ts";
import { Failure } from "../failure.ts";
import type { Input } from "../raft/input.ts";
import type { Message } from "../raft/message.ts";
import type { Raft } from "../raft/raft.ts";
import { Compaction } from "./compaction.ts";
import { noSnapshot } from "./failures.ts";
import { Installs } from "./installs.ts";
import { logIdOf, readLog } from "./log-reader.ts";
import type { NodeOptions } from "./options.ts";
import { decodeOwnState } from "./own-state.ts";
import type { NodePorts } from "./ports.ts";
import type { Sessions } from "./sessions.ts";
import { Snapshots } from "./snapshots.ts";
import type { Transport } from "./transport.ts";

export interface LogStartHooks {
  /** Called when there is more to do in a turn. */
  readonly onProgress: () => void;
  readonly input: (input: Input) => void;
}

/** Where the log begins, and what stands for what was before: snapshots. The log's identity stands there at first. */
export class LogStart {
  readonly snapshots: Snapshots;
  readonly #raft: Raft;
  readonly #storage: NodePorts["storage"];
  readonly #sessions: Sessions;
  readonly #compaction: Compaction;
  readonly #installs: Installs;
  #logId: Uint8Array = new Uint8Array(0);

  constructor(raft: Raft, ports: NodePorts, options: NodeOptions, sessions: Sessions, hooks: LogStartHooks) {
    const { storage, clock, onInstall } = ports;
    this.#raft = raft;
    this.#storage = storage;
    this.#sessions = sessions;
    this.snapshots = new Snapshots(raft, storage, clock, options, {
      logId: () => this.#logId,
      onProgress: hooks.onProgress,
      onStored: ({ last, ownState }) => {
        // From now on it may stand for the log's first entry, which this node may not have read yet.
        if (this.#logId.length === 0) this.#logId = decodeOwnState(ownState).logId;
        hooks.input({ kind: "snapshot", last });
      },
    });
    this.#compaction = new Compaction(raft, this.snapshots, sessions, options);
    const voters = options.initialMembers.map(({ id }) => id);
    const ownLog = () => ({ logId: this.#logId, voters });
    this.#installs = new Installs({ raft, snapshots: this.snapshots, clock, ownLog, onInstall });
    const { latest } = this.snapshots;
    if (latest !== undefined) this.#logId = decodeOwnState(latest.ownState).logId;
  }

  /** 16 bytes; empty until it is known. */
  get logId(): Uint8Array {
    return this.#logId;
  }

  /** The log's first entries are committed and durable here, or a snapshot is that stands for them. */
  learnLogId(done: () => void): void {
    readLog(this.#raft, this.#storage, 1, 1, 1, (result) => {
      if (!(result instanceof Failure)) this.#logId = logIdOf(result);
      // Only a snapshot takes the first entry away, and it brings the identity, at the latest once it has replaced the log.
      assert(this.#logId.length > 0 || this.#raft.durability.isResetting, "the log's identity is known");
      done();
    });
  }

  /** A message came: it may offer a snapshot. Returns what is wrong with that. */
  onMessage(message: Message, transport: Transport): string | undefined {
    return this.#installs.onMessage(message, transport);
  }

  /** A turn's Ready is taken: cuts off what nobody needs. */
  onTurn(): void {
    this.#cutOff(this.#compaction.target());
  }

  /** Keeps so many entries before the newest snapshot, the usual number when not given. Returns the index of the first entry. */
  compact(keepEntries: number | undefined): number {
    if (this.snapshots.latest === undefined) throw noSnapshot();
    this.#cutOff(this.#compaction.target(keepEntries));
    return this.#raft.log.firstIndex;
  }

  /** A snapshot of another member has replaced the log, durably. */
  onReset(): void {
    const { last, ownState } = this.snapshots.reset.snapshot;
    const state = decodeOwnState(ownState);
    this.#logId = state.logId;
    this.#sessions.replace(last.index, state);
    this.snapshots.onReset();
  }

  end(failure: Failure): void {
    this.#installs.end();
    this.snapshots.failAll(failure);
  }

  #cutOff(base: ReturnType<Compaction["target"]>): void {
    if (base === undefined) return;
    this.#raft.step({ kind: "compact", index: base.index });
    this.#storage.compact(base, () => {});
  }
}
