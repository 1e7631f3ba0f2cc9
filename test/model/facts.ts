import type { LocalNode } from "./local-node.ts";
import type { Logs } from "./logs.ts";

/** What the explorer asks of a node's state, over and over. */
export interface Facts {
  readonly currentTerm: number;
  readonly isLeader: boolean;
  readonly commitIndex: number;
  /** Numbers of `Logs`. */
  readonly log: number;
  readonly diskLog: number;
  readonly diskTerm: number;
  readonly turnsInProgress: number;
  readonly fetches: number;
  readonly hasLease: boolean;
  readonly isCandidate: boolean;
}

export function factsOf(node: LocalNode, logs: Logs): Facts {
  const { raft, disk, writing, fetches } = node;
  const writes = writing.map(({ write }) => write);
  return {
    currentTerm: raft.currentTerm,
    isLeader: raft.role.kind === "leader",
    isCandidate: raft.role.kind === "candidate",
    commitIndex: raft.commitIndex,
    log: logs.numberOf(disk.entries, writes),
    diskLog: logs.numberOf(disk.entries, []),
    diskTerm: disk.hardState.currentTerm,
    turnsInProgress: writing.length,
    fetches: fetches.length,
    hasLease: node.hasLease,
  };
}
