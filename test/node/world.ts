import { assert } from "../../src/assert.ts";
import type { Reason } from "../../src/failure.ts";
import { decodeEntries } from "../../src/frame/codec.ts";
import type { Conditions } from "../../src/node/api.ts";
import { EntryType } from "../../src/raft/types.ts";
import type { Host } from "../simulation/host.ts";
import { DEFAULT_NODE, World } from "../simulation/world.ts";
import { placeOrReason } from "../support/outcome.ts";

/** The shortest and the longest election timeout, and how coarsely nodes see time. */
export const { electionTimeoutMinMs: SHORTEST_MS, electionTimeoutMaxMs: LONGEST_MS, tickMs: TICK_MS } = DEFAULT_NODE;

/** A restart that doesn't come by itself. */
export const NEVER = Number.POSITIVE_INFINITY;

export interface Setting {
  readonly seed?: number;
  readonly size?: number;
  readonly node?: Partial<typeof DEFAULT_NODE>;
}

/** A world in which all nodes have just started. */
export function newWorld({ seed = 1, size = 3, node = {} }: Setting = {}): World {
  const world = new World({ seed, size, node: { ...DEFAULT_NODE, ...node } });
  world.startAll();
  return world;
}

/** Waits for a leader that has committed in its own term. */
export function leaderOf(world: World, limitMs = 10_000): Host {
  const inOffice = (): Host | undefined => {
    const { leader } = world;
    if (leader === undefined) return undefined;
    const { commit, term } = leader.node.state();
    return leader.node.termAt(commit) === term ? leader.host : undefined;
  };
  assert(
    world.runUntil(() => inOffice() !== undefined, limitMs),
    `nobody takes office in ${limitMs} ms`,
  );
  const leader = inOffice();
  assert(leader !== undefined, "a leader is in office");
  return leader;
}

/** All hosts but these. */
export function others(world: World, ...but: readonly Host[]): Host[] {
  return world.hosts.filter((host) => !but.includes(host));
}

/** The leader of three, and the two that follow it. */
export function threeOf(world: World): [leader: Host, follower: Host, other: Host] {
  const leader = leaderOf(world);
  const [follower, other] = others(world, leader);
  assert(follower !== undefined && other !== undefined, "two follow");
  return [leader, follower, other];
}

/** What runs on a host. */
export function nodeOf({ id, process }: Host) {
  assert(process !== undefined, `${id} runs`);
  return process.node;
}

export function cutPair(world: World, a: Host, b: Host): void {
  world.network.cut(a, b);
  world.network.cut(b, a);
}

export function isolate(world: World, host: Host): void {
  for (const other of others(world, host)) cutPair(world, host, other);
}

/** A proposal's index, a barrier's index, or why there is neither. */
type Answer = number | Reason;

/** One call, and every answer that it got. */
export interface Call {
  readonly answers: Answer[];
}

interface CallOptions {
  /** From now on, on the host's clock. */
  readonly deadlineMs?: number;
  readonly ordered?: boolean;
  readonly conditions?: Conditions;
}

export function propose(
  host: Host,
  command: string,
  { deadlineMs, ordered = false, conditions }: CallOptions = {},
): Call {
  const answers: Answer[] = [];
  const { process } = host;
  const atMs = deadlineMs === undefined ? undefined : host.clock.nowMs + deadlineMs;
  process?.run(() => {
    process.node.propose({
      commands: [Buffer.from(command)],
      conditions: conditions === undefined ? undefined : [conditions],
      deadlineMs: atMs,
      ordered,
      done: (result) => {
        if (process.isAlive) answers.push(placeOrReason(result));
      },
    });
  });
  return { answers };
}

/** A read barrier. */
export function readIndex(host: Host, { deadlineMs }: Pick<CallOptions, "deadlineMs"> = {}): Call {
  const answers: Answer[] = [];
  const { process } = host;
  const atMs = deadlineMs === undefined ? undefined : host.clock.nowMs + deadlineMs;
  process?.run(() => {
    process.node.readIndex(atMs, (result) => {
      if (process.isAlive) answers.push(result.kind === "readIndex" ? result.index : result.failure.reason);
    });
  });
  return { answers };
}

/** Lets commands commit, one after the other; returns where they are. */
export function commit(world: World, host: Host, ...commands: readonly string[]): number[] {
  return commands.map((command) => {
    const { answers } = propose(host, command);
    world.runUntil(() => answers.length > 0, 10_000);
    const [index] = answers;
    assert(typeof index === "number", `${command} commits, not ${index}`);
    return index;
  });
}

/** Does something every so often. */
export function regularly(world: World, intervalMs: number, forMs: number, act: (round: number) => void): void {
  for (let round = 0; round * intervalMs < forMs; round++) {
    act(round);
    world.run(intervalMs);
  }
}

/** The commands on a host's disk, in their order. */
export function commandsOn({ mounted }: Host): string[] {
  return mounted.log.entries
    .filter((frame) => frame.type === EntryType.command)
    .map((frame) => Buffer.from(decodeEntries(frame.bytes)[0]?.command ?? []).toString());
}

/** How many elections were won while `act` went on. */
export function electionsDuring(world: World, act: () => void): number {
  const before = world.properties.elections;
  act();
  return world.properties.elections - before;
}
