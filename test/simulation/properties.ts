import { assert } from "../../src/assert.ts";
import type { Message } from "../../src/raft/message.ts";
import { isQuorum } from "../../src/raft/quorum.ts";
import type { Configuration, Frame, NodeId } from "../../src/raft/types.ts";
import type { LogDisk } from "./log-disk.ts";

/** What can be seen of a member from outside. */
export interface View {
  readonly term: number;
  readonly role: string;
  readonly commit: number;
  readonly applied: number;
  /** The first index that its log holds. */
  readonly first: number;
  readonly last: number;
}

/** One life of a member, with what was last seen of it. */
export interface Observed {
  readonly id: NodeId;
  readonly disk: LogDisk;
  readonly view: () => View;
  readonly termAt: (index: number) => number | undefined;
  seenTerm: number;
  seenCommit: number;
  seenApplied: number;
  /** What it led last: the term, and where its log ended then. */
  led: { readonly term: number; readonly last: number; readonly lastTerm: number | undefined } | undefined;
}

export function observed(of: Pick<Observed, "id" | "disk" | "view" | "termAt">): Observed {
  return { ...of, seenTerm: 0, seenCommit: 0, seenApplied: 0, led: undefined };
}

/** An entry that some member held committed. */
interface Committed {
  readonly term: number;
  /** The term of whoever held it committed first. */
  readonly inTerm: number;
  /** Known once a member has delivered it. */
  entry: Frame | undefined;
}

/** The paper's five properties (Figure 3) and what we promise beyond them, seen by one who sees all nodes at once. */
export class Properties {
  readonly #configuration: Configuration;
  readonly #disks: ReadonlyMap<NodeId, LogDisk>;
  readonly #leaders = new Map<number, NodeId>();
  readonly #committed = new Map<number, Committed>();
  /** The highest index that this node's service was ever given. Survives the node's crashes. */
  readonly #delivered = new Map<NodeId, number>();
  commitIndex = 0;

  /** `disks` are those on which the cluster's guarantees rest: one that was wiped still counts as it was. */
  constructor(configuration: Configuration, disks: ReadonlyMap<NodeId, LogDisk>) {
    this.#configuration = configuration;
    this.#disks = disks;
  }

  /** How many elections were won. */
  get elections(): number {
    return this.#leaders.size;
  }

  /** The entry that is committed at `index` and was delivered to somebody. */
  entryAt(index: number): Frame | undefined {
    return this.#committed.get(index)?.entry;
  }

  committedTermAt(index: number): number | undefined {
    return this.#committed.get(index)?.term;
  }

  afterTurn(node: Observed): void {
    const view = node.view();
    this.#monotonic(node, view);
    this.#electionSafety(node, view);
    this.#leaderAppendOnly(node, view);
    this.#commit(node, view);
    this.#stateMachineSafety(node, view);
  }

  /** Log Matching: where two logs hold entries of one index and term, they are equal up to there. */
  logMatching(nodes: readonly Observed[]): void {
    for (const a of nodes) {
      for (const b of nodes) {
        if (a.id >= b.id) continue;
        const [viewA, viewB] = [a.view(), b.view()];
        let agree = false;
        // What both hold committed was compared when it committed.
        const lowest = Math.max(viewA.first, viewB.first, Math.min(viewA.commit, viewB.commit));
        for (let index = Math.min(viewA.last, viewB.last); index >= lowest; index--) {
          const same = a.termAt(index) === b.termAt(index);
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
          node.view().role !== "candidate" || node.disk.termAt(message.lastLog.index) === message.lastLog.term,
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

  #monotonic(node: Observed, view: View): void {
    assert(view.term >= node.seenTerm, `${node.id}: currentTerm falls`);
    assert(view.commit >= node.seenCommit, `${node.id}: commitIndex falls`);
    assert(view.applied >= node.seenApplied, `${node.id}: lastApplied falls`);
    node.seenTerm = view.term;
  }

  /** At most one leader in a term; Leader Completeness: it holds everything that was committed in earlier terms. */
  #electionSafety({ id, termAt }: Observed, { role, term, first }: View): void {
    if (role !== "leader") return;
    const known = this.#leaders.get(term);
    assert(known === undefined || known === id, `Election Safety: ${known} and ${id} lead term ${term}`);
    if (known !== undefined) return;
    this.#leaders.set(term, id);
    for (const [index, committed] of this.#committed) {
      // Who stood still while it was elected takes office late, when later terms have committed already.
      if (index < first || committed.inTerm > term) continue;
      assert(termAt(index) === committed.term, `Leader Completeness: ${id} lacks the committed entry ${index}`);
    }
  }

  #leaderAppendOnly(node: Observed, { role, term, last }: View): void {
    const { led, termAt } = node;
    if (role !== "leader") return;
    if (led?.term === term) {
      if (led.last === last) return;
      assert(last >= led.last, `Leader Append-Only: ${node.id} removed entries`);
      assert(termAt(led.last) === led.lastTerm, `Leader Append-Only: ${node.id} replaced entries`);
    }
    node.led = { term, last, lastTerm: termAt(last) };
  }

  /** A commit index rises over entries that a quorum holds on disk, and that nobody else committed differently. */
  #commit(node: Observed, view: View): void {
    const { id, termAt } = node;
    for (let index = node.seenCommit + 1; index <= view.commit; index++) {
      const term = termAt(index);
      if (term === undefined || index < view.first) continue;
      const known = this.#committed.get(index);
      assert(known === undefined || known.term === term, `${id} commits entry ${index} of another term`);
      if (known !== undefined) continue;
      // A base is a snapshot's: committed, and held without its entries.
      const isOnDisk = (voter: NodeId): boolean => {
        const disk = this.#disks.get(voter);
        return disk !== undefined && (index <= disk.base.index || disk.termAt(index) === term);
      };
      assert(isQuorum(this.#configuration, isOnDisk), `${id} commits entry ${index}, which no quorum has on disk`);
      this.#committed.set(index, { term, inTerm: view.term, entry: undefined });
    }
    node.seenCommit = view.commit;
    this.commitIndex = Math.max(this.commitIndex, view.commit);
  }

  /** State Machine Safety: what one service is given at an index, all are given; and it is on the own disk first. */
  #stateMachineSafety(node: Observed, view: View): void {
    if (view.applied === node.seenApplied) return;
    const { id, disk } = node;
    for (let index = Math.max(node.seenApplied + 1, view.first); index <= view.applied; index++) {
      const entry = disk.entryAt(index);
      assert(entry !== undefined, `${id} delivers entry ${index}, which is not on its disk`);
      const known = this.#committed.get(index);
      assert(known !== undefined && known.term === entry.term, `State Machine Safety: ${id} delivers another ${index}`);
      known.entry ??= entry;
      assert(equal(known.entry.bytes, entry.bytes), `State Machine Safety: ${id} delivers other bytes at ${index}`);
    }
    node.seenApplied = view.applied;
    const delivered = Math.max(this.#delivered.get(id) ?? 0, view.applied);
    this.#delivered.set(id, delivered);
    assert(disk.lastIndex >= delivered, `${id} has less log than its service`);
  }
}

/** Equal bytes; most often the very same, as messages are handed over without a copy. */
function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.buffer === b.buffer && a.byteOffset === b.byteOffset) return a.length === b.length;
  return Buffer.compare(a, b) === 0;
}
