import { assert, unreachable } from "../../src/assert.ts";
import type { Message } from "../../src/raft/message.ts";
import type { Leader } from "../../src/raft/role.ts";
import type { Frame, HardState, NodeId } from "../../src/raft/types.ts";
import type { Bodies } from "./bodies.ts";
import { assertGenuine } from "./bodies.ts";
import type { LocalNode } from "./local-node.ts";

/**
 * All of a node that can make a difference to what it does from now on, and nothing else: two histories that lead to the
 * same key are one state. Times are relative, and capped where the core asks no further; sequences are per member.
 * The log in memory is not here: it is the disk plus the turns in progress, which is asserted.
 *
 * With `mirrored` it is the key of the node that has b and c in each other's place.
 */
export function keyOf(node: LocalNode, bodies: Bodies, mirrored: boolean): string {
  const { raft, disk } = node;
  const key = new Key(mirrored);
  key.add(raft.currentTerm, raft.commitIndex, raft.lastApplied, raft.durability.index, raft.log.firstInMemory);
  key.node(raft.votedFor);
  key.node(raft.termLeader);
  addRole(key, node);
  key.hardState(disk.hardState);
  key.frames(disk.entries);
  key.add(node.writing.length);
  for (const { write, startedTicks } of node.writing) {
    key.hardState(write.hardState);
    key.add(write.truncateFrom ?? 0, Math.min(raft.nowTicks - startedTicks, raft.diskPatienceTicks));
    key.frames(write.frames);
  }
  key.hardState(node.late?.hardState);
  key.add(node.late === undefined ? 0 : 1, node.late?.truncateFrom ?? 0);
  key.frames(node.late?.frames ?? []);
  const persistedTurn = node.lastTurn - node.writing.length;
  key.add(Math.max(0, raft.durability.hardStateTurn - persistedTurn));
  const held = raft.held.map(({ message, afterTurn }) => [
    afterTurn - persistedTurn,
    key.order(message.to),
    bodies.numberOf(wire(node, message)),
  ]);
  // Those that wait for the same turn leave together, in whatever order.
  held.sort((x, y) => (x[0] ?? 0) - (y[0] ?? 0) || (x[1] ?? 0) - (y[1] ?? 0) || (x[2] ?? 0) - (y[2] ?? 0));
  key.add(held.length, ...held.flat());
  key.add(node.fetches.length);
  for (const { member, term, first, last } of node.fetches) {
    key.node(member);
    key.add(term, first, last);
  }
  return key.toString();
}

function addRole(key: Key, node: LocalNode): void {
  const { raft } = node;
  const { role } = raft;
  // A leader has no timer, and whoever ceases to be one sets it anew.
  if (role.kind !== "leader") key.add(raft.electionAtTicks - raft.nowTicks);
  switch (role.kind) {
    case "follower": {
      const heard = role.leader === "" ? Number.POSITIVE_INFINITY : raft.nowTicks - role.heardTicks;
      key.add(0, Math.min(heard, raft.options.electionTimeoutMinTicks));
      key.node(role.leader);
      key.add(role.verified, role.acceptedSequence, role.answerDue ? 1 : 0);
      return;
    }
    case "preCandidate":
    case "candidate":
      key.add(role.kind === "candidate" ? 1 : 2);
      for (const id of key.members) key.add(voteOf(role.votes.get(id)));
      return;
    case "leader":
      key.add(3, role.contactUntilTicks - raft.nowTicks, raft.nowTicks - role.heartbeatTicks, role.noOpIndex);
      assert(role.reads.waiting.length === 0 && role.reads.asked.length === 0, "the model asks for no reads");
      for (const id of key.members) addProgress(key, node, role, id);
      return;
    default:
      unreachable(role);
  }
}

function addProgress(key: Key, node: LocalNode, role: Leader, id: "b" | "c"): void {
  const progress = role.progress.get(id);
  assert(progress !== undefined, "a leader knows every member");
  const sequences = node.sequences[id];
  const { mode } = progress;
  key.add(progress.match, progress.next, progress.sentCommit, progress.fetching ? 1 : 0, progress.heartbeatDue ? 1 : 0);
  // How many requests were sent counts for the numbers of those to come. Which was answered last counts for check-quorum.
  const ordinal = (sequence: number): number => sequences.filter((sent) => sent <= sequence).length;
  key.add(sequences.length, ordinal(progress.ackedSequence), progress.hasAnswered ? 1 : 0);
  if (mode.kind === "probe") {
    key.add(0, mode.sent === undefined ? 0 : ordinal(mode.sent.sequence), mode.sent?.upTo ?? 0);
    return;
  }
  key.add(1, ordinal(mode.sinceSequence), mode.inFlightBytes, mode.inFlight.length);
  for (const { last, bytes } of mode.inFlight) key.add(last, bytes);
}

/** Only requests have a sequence that depends on the core's count, and they are never held back. */
function wire({ raft }: LocalNode, message: Message): Message {
  assert(message.kind !== "appendEntries", `${raft.id} leads with a term or a vote that is not on its disk`);
  return message;
}

function voteOf(vote: boolean | undefined): number {
  return vote === undefined ? 0 : vote ? 1 : 2;
}

/** Numbers in a row, each a character. */
class Key {
  /** b and c, in the order of the node whose key this is. */
  readonly members: readonly ("b" | "c")[];
  readonly #numbers: number[] = [];

  constructor(mirrored: boolean) {
    this.members = mirrored ? ["c", "b"] : ["b", "c"];
  }

  add(...numbers: number[]): void {
    for (const number of numbers) assert(number >= 0 && number < 65_536, `${number} does not fit in a key`);
    this.#numbers.push(...numbers);
  }

  order(id: NodeId): number {
    return id === this.members[0] ? 1 : 2;
  }

  node(id: NodeId): void {
    this.add(id === "" ? 3 : id === "a" ? 0 : this.order(id));
  }

  hardState(hardState: HardState | undefined): void {
    this.add(hardState === undefined ? 0 : 1 + hardState.currentTerm);
    this.node(hardState?.votedFor ?? "");
  }

  frames(frames: readonly Frame[]): void {
    this.add(frames.length);
    for (const frame of frames) {
      assertGenuine(frame);
      this.add(frame.first, frame.term, frame.type);
    }
  }

  toString(): string {
    return String.fromCharCode(...this.#numbers);
  }
}
