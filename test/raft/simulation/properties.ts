import { assert } from "../../../src/assert.ts";
import type { Message } from "../../../src/raft/message.ts";
import { isQuorum } from "../../../src/raft/quorum.ts";
import type { Raft } from "../../../src/raft/raft.ts";
import type { Configuration, NodeId } from "../../../src/raft/types.ts";
import type { Disk } from "./disk.ts";

/** A running core, with what was last seen of it. */
export interface Observed {
  readonly id: NodeId;
  readonly raft: Raft;
  readonly disk: Disk;
  seenTerm: number;
  seenCommit: number;
  seenApplied: number;
  /** What this node led last: its term, and where its log ended then. */
  led: { readonly term: number; readonly lastIndex: number; readonly lastTerm: number } | undefined;
}

export function observed(id: NodeId, raft: Raft, disk: Disk): Observed {
  return { id, raft, disk, seenTerm: 0, seenCommit: 0, seenApplied: 0, led: undefined };
}

/** The paper's five properties (Figure 3) and what we promise beyond them, seen by one who sees all nodes at once. */
export class Properties {
  readonly #configuration: Configuration;
  readonly #disks: ReadonlyMap<NodeId, Disk>;
  readonly #leaders = new Map<number, NodeId>();
  /** Term and bytes of every index that any node ever held committed. */
  readonly #committed = new Map<number, { term: number; bytes: string | undefined }>();
  /** The highest index that this node's service was ever given. Survives the node's crashes. */
  readonly #delivered = new Map<NodeId, number>();
  commitIndex = 0;

  constructor(configuration: Configuration, disks: ReadonlyMap<NodeId, Disk>) {
    this.#configuration = configuration;
    this.#disks = disks;
  }

  afterTurn(node: Observed): void {
    this.#monotonic(node);
    this.#electionSafety(node);
    this.#leaderAppendOnly(node);
    this.#durability(node);
    this.#commit(node);
    this.#stateMachineSafety(node);
  }

  /** Log Matching: where two logs hold entries of one index and term, they are equal up to there. */
  logMatching(nodes: readonly Observed[]): void {
    for (const a of nodes) {
      for (const b of nodes) {
        if (a.id >= b.id) continue;
        let agree = false;
        const lowest = Math.max(a.raft.log.firstIndex, b.raft.log.firstIndex);
        for (let index = Math.min(a.raft.log.lastIndex, b.raft.log.lastIndex); index >= lowest; index--) {
          const same = a.raft.log.termAt(index) === b.raft.log.termAt(index);
          assert(same || !agree, `Log Matching: ${a.id} and ${b.id} differ at ${index} and agree behind it`);
          agree = same;
        }
      }
    }
  }

  /** What leaves a node binds it after a crash too (PITFALLS 1, 51). */
  onSent(node: Observed, message: Message): void {
    const { currentTerm, votedFor } = node.disk.hardState;
    // A pre-vote, and its grant, speak of a term that nobody has entered.
    if ("preVote" in message && message.preVote && !(message.kind === "requestVoteResponse" && !message.granted))
      return;
    assert(message.term <= currentTerm, `${node.id} speaks of term ${message.term} before it is on its disk`);
    if (message.term !== currentTerm) return;
    switch (message.kind) {
      case "requestVote":
        assert(votedFor === node.id, `${node.id} asks for votes before its own is on its disk`);
        // Who follows the winner by now may have cut its log; nobody counts votes for it any more.
        assert(
          node.raft.role.kind !== "candidate" || node.disk.termAt(message.lastLog.index) === message.lastLog.term,
          `${node.id} advertises an entry that is not on its disk`,
        );
        return;
      case "requestVoteResponse":
        assert(!message.granted || votedFor === message.to, `${node.id} grants a vote that is not on its disk`);
        return;
      case "appendEntriesResponse":
        assert(
          !message.success || message.match <= Math.max(node.disk.lastIndex, node.disk.base.index),
          `${node.id} acknowledges entry ${message.match}, its disk ends at ${node.disk.lastIndex}`,
        );
        return;
      case "appendEntries":
        return;
    }
  }

  #monotonic(node: Observed): void {
    const { raft } = node;
    assert(raft.currentTerm >= node.seenTerm, `${node.id}: currentTerm falls`);
    assert(raft.commitIndex >= node.seenCommit, `${node.id}: commitIndex falls`);
    assert(raft.lastApplied >= node.seenApplied, `${node.id}: lastApplied falls`);
    node.seenTerm = raft.currentTerm;
  }

  /** At most one leader in a term; Leader Completeness: it holds everything that was ever committed. */
  #electionSafety({ id, raft }: Observed): void {
    if (raft.role.kind !== "leader") return;
    const known = this.#leaders.get(raft.currentTerm);
    assert(known === undefined || known === id, `Election Safety: ${known} and ${id} lead term ${raft.currentTerm}`);
    if (known !== undefined) return;
    this.#leaders.set(raft.currentTerm, id);
    for (const [index, { term }] of this.#committed) {
      if (index <= raft.log.base.index) continue;
      assert(raft.log.termAt(index) === term, `Leader Completeness: ${id} lacks the committed entry ${index}`);
    }
  }

  #leaderAppendOnly(node: Observed): void {
    const { raft, led } = node;
    if (raft.role.kind !== "leader") return;
    if (led?.term === raft.currentTerm) {
      assert(raft.log.lastIndex >= led.lastIndex, `Leader Append-Only: ${node.id} removed entries`);
      assert(raft.log.termAt(led.lastIndex) === led.lastTerm, `Leader Append-Only: ${node.id} replaced entries`);
    }
    node.led = { term: raft.currentTerm, lastIndex: raft.log.lastIndex, lastTerm: raft.log.lastId.term };
  }

  /** What the core takes for durable is on the disk, entry by entry; of what was applied that was seen before. */
  #durability({ id, raft, disk, seenApplied }: Observed): void {
    assert(
      raft.durability.index <= disk.lastIndex,
      `${id}: durable ${raft.durability.index}, on disk ${disk.lastIndex}`,
    );
    for (let index = raft.durability.index; index > Math.max(seenApplied, raft.log.base.index); index--) {
      assert(raft.log.termAt(index) === disk.termAt(index), `${id}: entry ${index} is durable in another term`);
    }
  }

  /** A commit index rises over entries that a quorum holds on disk, and that nobody else committed differently. */
  #commit(node: Observed): void {
    const { id, raft } = node;
    for (let index = node.seenCommit + 1; index <= raft.commitIndex; index++) {
      const term = raft.log.termAt(index);
      if (term === undefined || index <= raft.log.base.index) continue;
      const known = this.#committed.get(index);
      assert(known === undefined || known.term === term, `${id} commits entry ${index} of another term`);
      if (known === undefined) this.#committed.set(index, { term, bytes: undefined });
      // A base is a snapshot's: committed, and held without its entries.
      const isOnDisk = (voter: NodeId): boolean => {
        const disk = this.#disks.get(voter);
        return disk !== undefined && (index <= disk.base.index || disk.termAt(index) === term);
      };
      assert(isQuorum(this.#configuration, isOnDisk), `${id} commits entry ${index}, which no quorum has on disk`);
    }
    node.seenCommit = raft.commitIndex;
    this.commitIndex = Math.max(this.commitIndex, raft.commitIndex);
  }

  /** State Machine Safety: what one service is given at an index, all are given; and it is on the own disk first. */
  #stateMachineSafety(node: Observed): void {
    const { id, raft, disk } = node;
    for (let index = Math.max(node.seenApplied, raft.log.base.index) + 1; index <= raft.lastApplied; index++) {
      const entry = disk.entries[index - disk.base.index - 1];
      assert(entry !== undefined, `${id} delivers entry ${index}, which is not on its disk`);
      const bytes = Buffer.from(entry.bytes).toString("base64");
      const known = this.#committed.get(index);
      assert(known !== undefined && known.term === entry.term, `State Machine Safety: ${id} delivers another ${index}`);
      known.bytes ??= bytes;
      assert(known.bytes === bytes, `State Machine Safety: ${id} delivers other bytes at ${index}`);
    }
    node.seenApplied = raft.lastApplied;
    const delivered = Math.max(this.#delivered.get(id) ?? 0, raft.lastApplied);
    this.#delivered.set(id, delivered);
    assert(disk.lastIndex >= delivered, `${id} has less log than its service`);
  }
}
