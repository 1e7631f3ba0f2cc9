import { assert } from "../../src/assert.ts";
import { encodeFrame } from "../../src/frame/codec.ts";
import type {
  AppendEntries,
  AppendEntriesResponse,
  Message,
  RequestVote,
  RequestVoteResponse,
} from "../../src/raft/message.ts";
import type { Progress } from "../../src/raft/progress.ts";
import { Raft, type RaftOptions, type RaftRecovered } from "../../src/raft/raft.ts";
import type { Ready, TurnWrite } from "../../src/raft/ready.ts";
import type { Leader } from "../../src/raft/role.ts";
import { type Configuration, EntryType, type Frame, type NodeId, ZERO_ID } from "../../src/raft/types.ts";

/** A random source that is the same for the same seed: an integer from 0 to below `bound`. */
export function seededRandom(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound);
  };
}

export function votersOnly(...voters: NodeId[]): Configuration {
  return { voters, outgoing: [], learners: [] };
}

/** The timeouts are 10 ticks, a heartbeat is due every second one, and chance draws nothing but zeros. */
export function coreOptions(overrides: Partial<RaftOptions> = {}): RaftOptions {
  return {
    id: "a",
    configuration: votersOnly("a", "b", "c"),
    random: () => 0,
    encodeFrame,
    newLogId: new Uint8Array(16).fill(7),
    electionTimeoutMinTicks: 10,
    electionTimeoutMaxTicks: 19,
    heartbeatTicks: 2,
    maxAppendBytes: 4096,
    maxInFlight: 8,
    maxInFlightBytes: 65_536,
    cacheBytes: 1_000_000,
    ...overrides,
  };
}

/** A disk whose log has entries of these terms, the first one at index 1. */
export function diskWith(terms: readonly number[], currentTerm = terms.at(-1) ?? 0, votedFor = ""): RaftRecovered {
  const termStarts = terms.flatMap((term, i) => (term === terms[i - 1] ? [] : [{ index: i + 1, term }]));
  return {
    hardState: { currentTerm, votedFor },
    base: ZERO_ID,
    lastIndex: terms.length,
    termStarts,
    snapshot: ZERO_ID,
  };
}

/** A core with the options above, started from a log with these terms. */
export function newCore(overrides: Partial<RaftOptions> = {}, disk: RaftRecovered = diskWith([])): Raft {
  return new Raft(coreOptions(overrides), disk);
}

/** Commands of one term, `count` of them from index `first` on, each of `size` bytes. */
export function commands(first: number, count: number, term: number, size = 1): Frame {
  const payloads = Array.from({ length: count }, (_, i) => new Uint8Array(size).fill(first + i));
  return encodeFrame({ index: first, term }, EntryType.command, payloads);
}

export function propose(raft: Raft, count = 1, size = 1): void {
  raft.step({ kind: "propose", commands: Array.from({ length: count }, () => new Uint8Array(size).fill(1)) });
}

export function tick(raft: Raft, times = 1): void {
  for (let i = 0; i < times; i++) raft.step({ kind: "tick" });
}

export function receive(raft: Raft, message: Message): void {
  raft.step({ kind: "message", message });
}

/** What came out of a core whose disk answers at once. */
export interface Drained {
  readonly writes: readonly TurnWrite[];
  readonly messages: readonly Message[];
  readonly proposals: Ready["proposals"];
  readonly reads: Ready["reads"];
  readonly fetches: Ready["fetches"];
}

/** Takes one Ready after the other, with each write done at once, until nothing more comes. */
export function drain(raft: Raft): Drained {
  const readies: Ready[] = [];
  for (;;) {
    const ready = raft.takeReady();
    readies.push(ready);
    if (ready.write === undefined) break;
    raft.step({ kind: "persisted", turn: ready.write.turn });
  }
  return {
    writes: readies.flatMap(({ write }) => write ?? []),
    messages: readies.flatMap(({ messages }) => messages),
    proposals: readies.flatMap(({ proposals }) => proposals),
    reads: readies.flatMap(({ reads }) => reads),
    fetches: readies.flatMap(({ fetches }) => fetches),
  };
}

/** Ticks until the election timer fires. */
export function timeOut(raft: Raft): void {
  tick(raft, raft.electionAtTicks - raft.nowTicks);
}

/** Brings a core into office with everybody's votes. What it sent on the way is gone; its first requests are to come. */
export function elect(raft: Raft): void {
  timeOut(raft);
  for (const preVote of [true, false]) {
    for (const message of drain(raft).messages) {
      if (message.kind === "requestVote") receive(raft, grant(message));
    }
    assert(!preVote || raft.role.kind !== "follower", "the election goes on");
  }
  assert(raft.role.kind === "leader", `elected, and not a ${raft.role.kind}`);
}

/** Brings a core into office, with its no-op on its disk and on the others', and with nothing left to say. */
export function electAndSettle(raft: Raft): void {
  elect(raft);
  answerAll(raft, drain(raft).messages);
  answerAll(raft, drain(raft).messages);
  drain(raft);
}

/** Answers all AppendEntries as followers whose logs match and whose disks have everything. */
export function answerAll(raft: Raft, messages: readonly Message[], from?: NodeId): void {
  for (const request of appends(messages, from)) receive(raft, accepted(request));
}

export function appends(messages: readonly Message[], to?: NodeId): AppendEntries[] {
  return messages.filter(
    (message) => message.kind === "appendEntries" && (to === undefined || message.to === to),
  ) as AppendEntries[];
}

export function lastOf(request: AppendEntries): number {
  return request.frames.at(-1)?.last ?? request.prev.index;
}

export function accepted(request: AppendEntries, match = lastOf(request)): AppendEntriesResponse {
  return {
    kind: "appendEntriesResponse",
    from: request.to,
    to: request.from,
    term: request.term,
    success: true,
    match,
    conflict: undefined,
    sequence: request.sequence,
  };
}

export function rejected(request: AppendEntries, index: number, term: number): AppendEntriesResponse {
  return { ...accepted(request, 0), success: false, conflict: { index, term } };
}

export function grant(request: RequestVote): RequestVoteResponse {
  return {
    kind: "requestVoteResponse",
    from: request.to,
    to: request.from,
    term: request.term,
    granted: true,
    preVote: request.preVote,
    electionTerm: request.term,
  };
}

/** Of b to a, in term 1, unless told otherwise. */
export function requestVote(fields: Partial<RequestVote> = {}): RequestVote {
  return { kind: "requestVote", from: "b", to: "a", term: 1, lastLog: ZERO_ID, preVote: false, ...fields };
}

/** A heartbeat of leader b to a in term 1, unless told otherwise. */
export function appendEntries(fields: Partial<AppendEntries> = {}): AppendEntries {
  return {
    kind: "appendEntries",
    from: "b",
    to: "a",
    term: 1,
    prev: ZERO_ID,
    frames: [],
    leaderCommit: 0,
    sequence: 1,
    ...fields,
  };
}

/** The terms of a core's entries, from the first one held on. */
export function termsOf({ log }: Raft): (number | undefined)[] {
  return Array.from({ length: log.lastIndex - log.base.index }, (_, i) => log.termAt(log.firstIndex + i));
}

export function leaderOf(raft: Raft): Leader {
  assert(raft.role.kind === "leader", `a leader, and not a ${raft.role.kind}`);
  return raft.role;
}

export function progressOf(raft: Raft, id: NodeId): Progress {
  const progress = leaderOf(raft).progress.get(id);
  assert(progress !== undefined, `a leader knows ${id}`);
  return progress;
}

/** What a disk with entries of these terms reads from index `first` on, to the end. */
export function framesOf(terms: readonly number[], first: number): Frame[] {
  return terms.slice(first - 1).map((term, i) => commands(first + i, 1, term));
}
