import type { Clock } from "../../src/clock.ts";
import { admit } from "../../src/node/admission.ts";
import type { ProposalBatch, ProposalResult } from "../../src/node/api.ts";
import { type NodeOptions, PIPELINE } from "../../src/node/options.ts";
import { batchesOf, type Group, type Proposals } from "../../src/node/proposals.ts";
import type { FetchedSnapshot, ForwardOutcome, ForwardRequest, Transport } from "../../src/node/transport.ts";
import type { Message } from "../../src/raft/message.ts";
import type { EntryId, Frame, NodeId } from "../../src/raft/types.ts";
import type {
  DiskUsage,
  DiskWrite,
  MemberRecord,
  ReadRange,
  Recovered,
  SessionCheckpoint,
  SnapshotRecord,
  Storage,
} from "../../src/storage/storage.ts";
import { diskWith } from "../support/core.ts";
import { placeOrReason } from "../support/outcome.ts";
import { SNAPSHOT_OPTIONS } from "../support/snapshot-options.ts";

export function nodeOptions(overrides: Partial<NodeOptions> = {}): NodeOptions {
  return {
    id: "a",
    clusterId: "test",
    initialMembers: ["a", "b", "c"].map((id) => ({ id, peerAddress: `${id}:1` })),
    clientAddress: "a:2",
    peerAddress: "a:1",
    tickMs: 10,
    electionTimeoutMinMs: 100,
    electionTimeoutMaxMs: 190,
    heartbeatMs: 20,
    proposalTimeoutMs: 500,
    maxProposals: 5,
    maxProposalBytes: 1000,
    maxReads: 3,
    cacheBytes: 1_000_000,
    ...PIPELINE,
    ...SNAPSHOT_OPTIONS,
    ...overrides,
  };
}

/** Time that passes when the test says so. */
export class ManualClock implements Clock {
  #nowMs = 0;
  #timers: { readonly atMs: number; readonly fire: () => void }[] = [];
  #deferred: (() => void)[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.length;
  }

  setTimer(delayMs: number, fire: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, fire };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  defer(run: () => void): void {
    this.#deferred.push(run);
  }

  /** Runs what was deferred, and what that defers. */
  settle(): void {
    for (let run = this.#deferred.shift(); run !== undefined; run = this.#deferred.shift()) run();
  }

  /** Lets time pass millisecond by millisecond. */
  advance(ms: number): void {
    for (const untilMs = this.#nowMs + ms; this.#nowMs < untilMs; ) this.jump(1);
  }

  /** Lets time pass in one step, as after a pause of the process. */
  jump(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#nowMs);
    for (const { fire } of due) fire();
    this.settle();
  }
}

/** A disk that keeps what it is given waiting until the test lets it go on. */
export class HeldStorage implements Storage {
  readonly recovered: Recovered;
  readonly writes: DiskWrite[] = [];
  readonly reads: ReadRange[] = [];
  /** Where the frames of reads go that were not answered yet. */
  readonly unanswered: { readonly range: ReadRange; readonly done: (frames: readonly Frame[]) => void }[] = [];
  readonly members: MemberRecord[] = [];
  readonly checkpoints: SessionCheckpoint[] = [];
  readonly snapshots: SnapshotRecord[] = [];
  /** Of the snapshots, the ones that were forgotten. */
  readonly dropped: SnapshotRecord[] = [];
  readonly bases: EntryId[] = [];
  onFailure: (error: Error) => void = () => {};
  onUsage: (usage: DiskUsage) => void = () => {};
  #waiting: (() => void)[] = [];

  constructor(recovered: Partial<Recovered> = {}) {
    this.recovered = {
      incarnation: new Uint8Array(16).fill(1),
      bootstrapVoters: ["a", "b", "c"],
      bootstrapped: true,
      members: [],
      sessions: undefined,
      snapshots: [],
      ...diskWith([]),
      ...recovered,
    };
  }

  write(write: DiskWrite, done: () => void): void {
    this.writes.push(write);
    this.#waiting.push(done);
  }

  read(range: ReadRange, done: (frames: readonly Frame[]) => void): void {
    this.reads.push(range);
    this.unanswered.push({ range, done });
  }

  saveMember(member: MemberRecord, done: () => void): void {
    this.members.push(member);
    this.#waiting.push(done);
  }

  saveBootstrapped(done: () => void): void {
    this.#waiting.push(done);
  }

  saveSessions(checkpoint: SessionCheckpoint, done: () => void): void {
    this.checkpoints.push(checkpoint);
    this.#waiting.push(done);
  }

  saveSnapshot(snapshot: SnapshotRecord, dropped: readonly SnapshotRecord[], done: () => void): void {
    this.snapshots.push(snapshot);
    this.dropped.push(...dropped);
    this.#waiting.push(done);
  }

  compact(base: EntryId, done: () => void): void {
    this.bases.push(base);
    this.#waiting.push(done);
  }

  async close(): Promise<void> {}

  /** Everything given so far is synced. */
  sync(): void {
    for (const done of this.#waiting.splice(0)) done();
  }
}

/** Tells the proposals that a group was appended from `first` on, one entry for each command. */
export function onAppended(proposals: Proposals, group: Group, first: EntryId, nowMs: number): void {
  const admission = admit(batchesOf(group), {
    term: first.term,
    lastIndex: first.index - 1,
    sessions: { find: () => ({ kind: "new" }), onAppend: () => {} },
    refusal: undefined,
  });
  proposals.onAdmitted(group, admission, first.term, first.index - 1, nowMs);
}

/** Keeps what leaves a node. */
export class KeptTransport implements Transport {
  readonly sent: Message[] = [];
  readonly forwarded: {
    readonly to: NodeId;
    readonly request: ForwardRequest;
    readonly done: (outcome: ForwardOutcome) => void;
  }[] = [];

  readonly fetched: {
    readonly from: NodeId;
    readonly last: EntryId;
    readonly done: (result: FetchedSnapshot | Error) => void;
  }[] = [];

  send(message: Message): void {
    this.sent.push(message);
  }

  forward(to: NodeId, request: ForwardRequest, done: (outcome: ForwardOutcome) => void): void {
    this.forwarded.push({ to, request, done });
  }

  fetchSnapshot(from: NodeId, last: EntryId, done: (result: FetchedSnapshot | Error) => void): void {
    this.fetched.push({ from, last, done });
  }
}

/** A batch that keeps its answers: "committed 3" or the reason of a failure. */
export function batchOf(
  count: number,
  fields: Partial<ProposalBatch> = {},
): ProposalBatch & { readonly answers: string[] } {
  const answers: string[] = [];
  const done = (result: ProposalResult): void => {
    const outcome = placeOrReason(result);
    answers.push(typeof outcome === "number" ? `committed ${outcome}` : outcome);
  };
  const commands = Array.from({ length: count }, () => new Uint8Array(1));
  return { commands, deadlineMs: undefined, ordered: false, done, ...fields, answers };
}
