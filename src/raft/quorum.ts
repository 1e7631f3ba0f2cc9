import type { Configuration, NodeId } from "./types.ts";

/** Whether the members for which `has` holds are a majority; in a joint configuration, of both (§6). */
export function isQuorum(configuration: Configuration, has: (id: NodeId) => boolean): boolean {
  return (
    isMajority(configuration.voters, has) &&
    (configuration.outgoing.length === 0 || isMajority(configuration.outgoing, has))
  );
}

/** The largest value that a quorum has reached, given what each voter has reached. */
export function quorumValue(configuration: Configuration, reached: (id: NodeId) => number): number {
  const value = majorityValue(configuration.voters, reached);
  return configuration.outgoing.length === 0 ? value : Math.min(value, majorityValue(configuration.outgoing, reached));
}

/** Whether enough voters have refused that no quorum can be reached any more. */
export function isLost(configuration: Configuration, refused: (id: NodeId) => boolean): boolean {
  return !isQuorum(configuration, (id) => !refused(id));
}

/** Everybody who gets the log, each once. */
export function allMembers(configuration: Configuration): NodeId[] {
  return [...new Set([...configuration.voters, ...configuration.outgoing, ...configuration.learners])];
}

export function isVoter(configuration: Configuration, id: NodeId): boolean {
  return configuration.voters.includes(id) || configuration.outgoing.includes(id);
}

function isMajority(voters: readonly NodeId[], has: (id: NodeId) => boolean): boolean {
  return voters.filter(has).length > Math.floor(voters.length / 2);
}

function majorityValue(voters: readonly NodeId[], reached: (id: NodeId) => number): number {
  const ascending = voters.map(reached).sort((a, b) => a - b);
  return ascending[Math.floor((ascending.length - 1) / 2)] ?? 0;
}
