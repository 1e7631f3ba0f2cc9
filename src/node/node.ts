import { assert } from "../assert.ts";
import type { Failure } from "../failure.ts";
import { encodeFrame } from "../frame/codec.ts";
import { faultOf, leapOf } from "../raft/fault.ts";
import type { Input } from "../raft/input.ts";
import type { Message } from "../raft/message.ts";
import { Raft } from "../raft/raft.ts";
import { type Frame, type NodeId, ZERO_ID } from "../raft/types.ts";
import type {
  MemberStatus,
  NodeApi,
  NodeState,
  NodeStatus,
  ProposalBatch,
  ReadIndexResult,
  StateEvent,
} from "./api.ts";
import { Applied } from "./applied.ts";
import { CommitNews } from "./commit-news.ts";
import { nodeState, peerStatuses, stateEvent } from "./describe.ts";
import { DiskGuard } from "./disk-guard.ts";
import { DiskTurns } from "./disk-turns.ts";
import { cannotGoOn, draining } from "./failures.ts";
import type { Handshaker } from "./handshake.ts";
import { KeptState } from "./kept-state.ts";
import { readLog } from "./log-reader.ts";
import { faultOfPayloads } from "./log-tables.ts";
import { Members } from "./members.ts";
import { MAX_DISK_TURNS, maxCatchUpTicks, type NodeOptions, raftOptions } from "./options.ts";
import type { NodePorts } from "./ports.ts";
import { Readiness } from "./readiness.ts";
import { Requests } from "./requests.ts";
import type { Snapshots } from "./snapshots.ts";
import type { Subscriptions } from "./subscriptions.ts";
import { Ticker } from "./ticker.ts";
import type { ForwardOutcome, ForwardRequest, Transport, TransportListener } from "./transport.ts";
import { Watch } from "./watch.ts";

/** How often proposals and barriers are looked through for those whose time is up. */
const EXPIRY_INTERVAL_MS = 50;

/**
 * One node: drives the core by turns. A turn gathers all inputs that wait, steps them, takes one Ready, starts the disk
 * write and sends what may go; when the disk answers, a later turn releases what waited for it. Whatever arrives while
 * writes are under way shares the next one's sync.
 */
export class Node implements NodeApi, TransportListener {
  readonly #options: NodeOptions;
  readonly #ports: NodePorts;
  readonly #members: Members;
  readonly #raft: Raft;
  readonly #requests: Requests;
  readonly #disk: DiskTurns;
  readonly #kept: KeptState;
  readonly #ticker: Ticker;
  readonly #watch: Watch;
  readonly #readiness: Readiness;
  readonly #applied: Applied;
  readonly #commitNews: CommitNews;
  readonly #diskGuard: DiskGuard;
  #transport: Transport | undefined;
  #inputs: Input[] = [];
  #isTurnDue = false;
  #isExpirySet = false;
  #isDraining = false;
  #onDrained: (() => void) | undefined;
  #endedWith: Failure | undefined;

  constructor(options: NodeOptions, ports: NodePorts) {
    this.#options = options;
    this.#ports = ports;
    const { clock, storage } = ports;
    const snapshot = storage.recovered.snapshots.at(-1)?.last ?? ZERO_ID;
    this.#raft = new Raft(raftOptions(options, ports.random, encodeFrame), { ...storage.recovered, snapshot });
    const onProgress = (): void => this.#schedule();
    const input = (each: Input): void => this.#input(each);
    const logBytes = (): number => this.#diskGuard.status?.usedBytes ?? 0;
    this.#kept = new KeptState(this.#raft, ports, options, this, { onProgress, input, logBytes });
    this.#disk = new DiskTurns(this.#raft, storage, this.snapshots, { input, onReset: () => this.#kept.onReset() });
    this.#diskGuard = new DiskGuard(storage, ports.onDiskEvent);
    this.#requests = new Requests(this.#raft, this.#kept.sessions, this.#diskGuard, options, (delayMs) => {
      clock.setTimer(delayMs, () => this.#schedule());
    });
    this.#applied = new Applied(this.#raft, () => {
      this.#kept.logStart.learnLogId(() => {
        // Subscribers that name a log wait for it, and so may a snapshot.
        this.#applied.tell();
        this.#schedule();
      });
    });
    this.#commitNews = new CommitNews(this.#raft, clock, () => this.#schedule());
    this.#ticker = new Ticker(clock, options.tickMs, maxCatchUpTicks(this.#raft.options), onProgress);
    const logId = (): Uint8Array => this.logId;
    this.#members = new Members(options, storage, logId, () => this.#ticker.start());
    this.#readiness = new Readiness(this.#raft, this.#members, this.#kept.sessions, clock);
    this.#watch = new Watch(stateEvent(this.#raft, this.#members));
    storage.onFailure = (error) => this.#fail(error);
  }

  /** Takes part as soon as all initial members have been met once. */
  start(transport: Transport): void {
    this.#transport = transport;
    this.#schedule();
    if (this.#members.isBootstrapped) this.#ticker.start();
    else this.#members.start();
  }

  /** Accepts nothing new, and calls `done` once all that is pending is answered. Replication goes on until `stop`. */
  drain(done: () => void): void {
    this.#isDraining = true;
    this.#onDrained = done;
    this.#requests.drain();
    this.#applied.tell();
    this.#maybeDrained();
  }

  /** Ends: whatever has no answer yet gets one, and nothing is sent or written any more. */
  stop(): void {
    this.#end(draining());
  }

  get handshaker(): Handshaker {
    return this.#members;
  }

  get draining(): boolean {
    return this.#isDraining;
  }

  get logId(): Uint8Array {
    return this.#kept.logStart.logId;
  }

  get snapshots(): Snapshots {
    return this.#kept.logStart.snapshots;
  }

  get subscriptions(): Subscriptions {
    return this.#kept.subscriptions;
  }

  propose(batch: ProposalBatch): void {
    const failure = this.#refusal();
    if (failure !== undefined) return batch.done({ kind: "failed", failure });
    this.#requests.propose(batch, this.#ports.clock.nowMs());
    this.#schedule();
  }

  readIndex(deadlineMs: number | undefined, done: (result: ReadIndexResult) => void): void {
    const failure = this.#refusal();
    if (failure !== undefined) return done({ kind: "failed", failure });
    this.#requests.readIndex(deadlineMs, this.#ports.clock.nowMs(), done);
    this.#schedule();
  }

  state(): NodeState {
    return nodeState(this.#raft, this.#members);
  }

  status(): NodeStatus {
    return {
      clusterId: this.#options.clusterId,
      durable: this.#raft.durability.index,
      notReadyReason: this.#refusal() !== undefined ? "it shuts down" : this.#readiness.notReadyReason(),
      proposalsInFlight: this.#requests.proposalsInFlight,
      peers: peerStatuses(this.#raft),
      disk: this.#diskGuard.status,
      retention: this.#kept.retention.status,
    };
  }

  members(): MemberStatus[] {
    return this.#members.list();
  }

  watch(listener: (event: StateEvent) => void): () => void {
    return this.#watch.add(listener);
  }

  onApplied(listener: () => void): () => void {
    return this.#applied.add(listener);
  }

  termAt(index: number): number | undefined {
    return this.#raft.log.termAt(index);
  }

  readLog(first: number, last: number, maxBytes: number, done: (result: readonly Frame[] | Failure) => void): void {
    readLog(this.#raft, this.#ports.storage, first, last, maxBytes, done);
  }

  compact(keepEntries: number | undefined): number {
    const failure = this.#refusal();
    if (failure !== undefined) throw failure;
    return this.#kept.logStart.compact(keepEntries);
  }

  onMessage(message: Message): string | undefined {
    const fault = faultOf(message) ?? leapOf(message, this.#raft.currentTerm) ?? faultOfPayloads(message);
    // Until all have met, this node may stand in for one whose votes are forgotten: it neither votes nor acknowledges.
    if (fault !== undefined || !this.#members.isBootstrapped) return fault;
    this.#input({ kind: "message", message });
    return this.#transport === undefined ? undefined : this.#kept.logStart.onMessage(message, this.#transport);
  }

  onUnreachable = (member: NodeId): void => this.#input({ kind: "unreachable", member });
  onRefused = (member: NodeId): void => this.#input({ kind: "refused", member });
  onReachable = (member: NodeId): void => this.#input({ kind: "reachable", member });

  onForward(_from: NodeId, request: ForwardRequest, done: (outcome: ForwardOutcome) => void): void {
    const failure = this.#refusal();
    if (failure !== undefined) return done({ kind: "failed", failure });
    this.#requests.onForward(request, this.#ports.clock.nowMs(), done);
    this.#schedule();
  }

  #refusal(): Failure | undefined {
    return this.#endedWith ?? (this.#isDraining ? draining() : undefined);
  }

  #input(input: Input): void {
    this.#inputs.push(input);
    this.#schedule();
  }

  #schedule(): void {
    // The listeners are open before the node is started: what comes until then waits for the first turn.
    if (this.#isTurnDue || this.#endedWith !== undefined || this.#transport === undefined) return;
    this.#isTurnDue = true;
    this.#ports.clock.defer(() => {
      this.#isTurnDue = false;
      if (this.#endedWith !== undefined) return;
      try {
        this.#turn();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  #turn(): void {
    assert(this.#transport !== undefined, "a node is started before its first turn");
    const nowMs = this.#ports.clock.nowMs();
    const inputs = this.#inputs;
    this.#inputs = [];
    for (let ticks = this.#ticker.take(); ticks > 0; ticks--) this.#raft.step({ kind: "tick" });
    for (const input of inputs) this.#raft.step(input);
    this.#requests.step(this.#disk.underWay, this.#transport, nowMs);
    this.snapshots.step();
    const ready = this.#raft.takeReady(this.#disk.underWay < MAX_DISK_TURNS, this.#commitNews.due);
    // The way to the others and their disks is the longer one.
    for (const message of ready.messages) this.#transport.send(message);
    if (ready.write !== undefined) this.#disk.write(ready.write);
    for (const fetch of ready.fetches) this.#disk.fetch(fetch);
    this.#requests.onReady(ready);
    this.#kept.onTurn(nowMs);
    this.#readiness.onTurn(nowMs);
    this.#ticker.sleep(this.#raft.ticksUntilDue);
    this.#commitNews.onTurn();
    this.#applied.onTurn();
    const event = this.#watch.maybeChange(stateEvent(this.#raft, this.#members));
    if (event !== undefined) this.#ports.onStateEvent(event);
    this.#maybeDrained();
    this.#expireRegularly();
    if (this.#requests.canGoOn(this.#disk.underWay)) this.#schedule();
  }

  /** Every so often, as long as anybody waits. */
  #expireRegularly(): void {
    if (this.#isExpirySet || this.#requests.isIdle) return;
    this.#isExpirySet = true;
    this.#ports.clock.setTimer(EXPIRY_INTERVAL_MS, () => {
      this.#isExpirySet = false;
      if (this.#endedWith !== undefined) return;
      this.#requests.expire(this.#ports.clock.nowMs());
      this.#maybeDrained();
      this.#expireRegularly();
    });
  }

  #maybeDrained(): void {
    if (!this.#isDraining || !this.#requests.isIdle) return;
    const onDrained = this.#onDrained;
    this.#onDrained = undefined;
    onDrained?.();
  }

  /** Also once the node has ended: a disk that fails with the last writes is no orderly end. */
  #fail(error: unknown): void {
    this.#end(cannotGoOn());
    this.#ports.onFatal(error);
  }

  #end(failure: Failure): void {
    this.#endedWith ??= failure;
    this.#ticker.stop();
    this.#requests.failAll(failure);
    this.#kept.end(failure);
  }
}
