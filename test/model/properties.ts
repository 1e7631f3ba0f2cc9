import { assert } from "../../src/assert.ts";
import type { Locals } from "./locals.ts";
import { leaderOf, type State, withLeader } from "./state.ts";

/** Election Safety (§5.2): a term that somebody has led is led by nobody else. */
export function elected(led: number, term: number, place: number): number {
  const leader = leaderOf(led, term);
  assert(leader === 0 || leader === place + 1, `Election Safety: two nodes lead term ${term}`);
  return withLeader(led, term, place);
}

/** What is committed is on the disks of a quorum at that time. */
export function assertCommit(nodes: readonly number[], committed: number, locals: Locals): void {
  const { length } = locals.logs.entries(committed);
  const holders = nodes.filter((node) => {
    const { diskLog } = locals.facts(node);
    return locals.logs.entries(diskLog).length >= length && locals.logs.agree(diskLog, committed, length);
  });
  assert(holders.length >= 2, `entry ${length} is committed and no quorum has it on its disks`);
}

/** What must hold in every state, seen by one who sees all nodes at once. */
export function assertState({ nodes, committed }: State, locals: Locals): void {
  const { logs } = locals;
  for (let i = 0; i < 3; i++) {
    const one = locals.facts(nodes[i] ?? 0);
    const other = locals.facts(nodes[(i + 1) % 3] ?? 0);
    assert(logs.match(one.log, other.log), "Log Matching: two logs agree at an index and differ before it");
    // Whatever a node holds committed it may deliver: all services are given the same.
    assert(logs.agree(one.log, committed, one.commitIndex), "State Machine Safety: two nodes commit different entries");
    if (one.isLeader) assertComplete(one.log, one.currentTerm, committed, locals);
  }
}

/** Leader Completeness (§5.4): what was committed in a term is in the logs of the leaders of all later ones. */
function assertComplete(log: number, term: number, committed: number, { logs }: Locals): void {
  const entries = logs.entries(log);
  const needed = logs.entries(committed);
  for (let i = 0; i < needed.length; i++) {
    const isHeld = entries[i]?.term === needed[i]?.term && entries[i]?.type === needed[i]?.type;
    const isDue = term > (needed[i]?.committedIn ?? 0);
    assert(isHeld || !isDue, `Leader Completeness: the leader of term ${term} lacks entry ${i + 1}`);
  }
}
