import type { Raft } from "../../src/raft/raft.ts";
import type { LogDisk } from "./log-disk.ts";
import { type Observed, observed } from "./properties.ts";

/** A bare core as `Properties` sees it. */
export function observeCore(raft: Raft, disk: LogDisk): Observed {
  const view = () => ({
    term: raft.currentTerm,
    role: raft.role.kind,
    commit: raft.commitIndex,
    applied: raft.lastApplied,
    first: raft.log.firstIndex,
    last: raft.log.lastIndex,
  });
  return observed({ id: raft.id, disk, view, termAt: (index) => raft.log.termAt(index) });
}
