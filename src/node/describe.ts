import type { Raft } from "../raft/raft.ts";
import type { NodeState, PeerStatus, StateEvent } from "./api.ts";
import type { Members } from "./members.ts";

/** The core's state in the words of the services. */
export function nodeState(raft: Raft, members: Members): NodeState {
  return {
    id: raft.id,
    term: raft.currentTerm,
    role: raft.role.kind,
    leader: raft.leader,
    leaderAddress: members.clientAddressOf(raft.leader),
    first: raft.log.firstIndex,
    commit: raft.commitIndex,
    applied: raft.lastApplied,
    last: raft.log.lastIndex,
  };
}

/** On the leader one for each other member, else none. */
export function peerStatuses(raft: Raft): PeerStatus[] {
  if (raft.role.kind !== "leader") return [];
  return [...raft.role.progress.values()].map(({ id, match, next, mode, needsSnapshot }) => ({
    id,
    match,
    next,
    state: needsSnapshot ? "snapshot" : mode.kind,
    inFlight: mode.kind === "replicate" ? mode.inFlight.length : 0,
  }));
}

export function stateEvent(raft: Raft, members: Members): Omit<StateEvent, "number"> {
  const { role, currentTerm, commitIndex, leader } = raft;
  // To lead is to have committed in this term: before, this node can't know what its predecessors acknowledged.
  const isElect = role.kind === "leader" && commitIndex < role.noOpIndex;
  const announced = isElect ? "" : leader;
  return {
    role: isElect ? "candidate" : role.kind,
    term: currentTerm,
    leader: announced,
    leaderAddress: members.clientAddressOf(announced),
    leaderIndex: role.kind === "leader" && !isElect ? role.noOpIndex : 0,
  };
}
