import { assert } from "../../src/assert.ts";
import type { Message } from "../../src/raft/message.ts";
import type { Frame } from "../../src/raft/types.ts";
import { observeCore } from "../simulation/observe-core.ts";
import { Properties } from "../simulation/properties.ts";
import { votersOnly } from "../support/core.ts";
import type { LocalNode } from "./local-node.ts";

/** What one node was before an input. */
interface Snapshot {
  readonly currentTerm: number;
  readonly votedFor: string;
  readonly commitIndex: number;
  readonly lastApplied: number;
  /** Of a leader, its log: it only grows. */
  readonly led: readonly (number | undefined)[] | undefined;
}

export function snapshotOf({ raft }: LocalNode): Snapshot {
  const { currentTerm, votedFor, commitIndex, lastApplied } = raft;
  return {
    currentTerm,
    votedFor,
    commitIndex,
    lastApplied,
    led: raft.role.kind === "leader" ? terms(raft) : undefined,
  };
}

/** What must hold of one node after a turn, whatever the others do. */
export function assertTurn(node: LocalNode, before: Snapshot): void {
  const { raft, disk } = node;
  assert(raft.currentTerm >= before.currentTerm, "hard state: the term falls");
  assert(
    raft.currentTerm > before.currentTerm || before.votedFor === "" || raft.votedFor === before.votedFor,
    "hard state: the vote changes",
  );
  assert(raft.commitIndex >= before.commitIndex, "the commit index falls");
  assert(raft.lastApplied >= before.lastApplied, "the applied index falls");
  if (before.led !== undefined && raft.role.kind === "leader" && raft.currentTerm === before.currentTerm) {
    const now = terms(raft);
    assert(
      before.led.every((term, i) => now[i] === term),
      "Leader Append-Only: a leader replaces entries",
    );
  }
  assert(raft.durability.index <= disk.lastIndex, `durable ${raft.durability.index}, on disk ${disk.lastIndex}`);
  for (let index = 1; index <= raft.durability.index; index++) {
    assert(raft.log.termAt(index) === disk.termAt(index), `entry ${index} is durable in another term`);
  }
  assertDiskCatchesUp(node);
}

/** Once all turns in progress are on the disk, it holds the log and the hard state as they are now. */
function assertDiskCatchesUp({ raft, disk, writing }: LocalNode): void {
  const log: Frame[] = [...disk.entries];
  let { hardState } = disk;
  for (const { write } of writing) {
    if (write.truncateFrom !== undefined) log.length = write.truncateFrom - 1;
    log.push(...write.frames);
    hardState = write.hardState ?? hardState;
  }
  assert(log.length === raft.log.lastIndex, "the disk is not given the whole log");
  for (const [i, frame] of log.entries()) {
    assert(frame.first === i + 1 && raft.log.termAt(i + 1) === frame.term, `the disk is given another entry ${i + 1}`);
  }
  for (const frame of raft.log.framesFrom(raft.log.firstInMemory, Number.POSITIVE_INFINITY) ?? []) {
    assert(log[frame.first - 1] === frame, `the disk is given other bytes at ${frame.first}`);
  }
  assert(
    hardState.currentTerm === raft.currentTerm && hardState.votedFor === raft.votedFor,
    "the disk is not given the hard state",
  );
}

const properties = new Properties(votersOnly("a", "b", "c"), new Map());

/** Nothing is sent that the disk could still lose: a term, a vote, a match. */
export function assertSends(node: LocalNode, messages: readonly Message[]): void {
  for (const message of messages) properties.onSent(observeCore(node.raft, node.disk), message);
}

function terms({ log }: LocalNode["raft"]): (number | undefined)[] {
  return Array.from({ length: log.lastIndex }, (_, i) => log.termAt(i + 1));
}
