import { assert } from "../../src/assert.ts";
import { type HardState, type NodeId, ZERO_ID } from "../../src/raft/types.ts";
import { LogDisk } from "../simulation/log-disk.ts";
import { Bodies } from "./bodies.ts";
import type { Bounds } from "./bounds.ts";
import { type Facts, factsOf } from "./facts.ts";
import { inputOf, mirroredCode } from "./local-input.ts";
import { keyOf } from "./local-key.ts";
import { LocalNode, type Sent } from "./local-node.ts";
import { Logs } from "./logs.ts";
import { MAX_LOCALS } from "./state.ts";
import { copyOf, type World } from "./world.ts";

export interface Transition {
  readonly to: number;
  readonly sent: readonly Sent[];
}

/** How a state came about: from another one by an input, or from a disk. */
type Origin = { readonly from: number; readonly code: number } | { readonly disk: LogDisk };

interface Local {
  readonly key: string;
  readonly origin: Origin;
  readonly facts: Facts;
  mirror: number;
  readonly transitions: Map<number, Transition | undefined>;
}

/**
 * All states of one node that were met, numbered, and what each input makes of each: found out once, by the real core,
 * which is brought there by doing again what led there first. A core can't be copied, and needs not be.
 */
export class Locals {
  readonly bodies = new Bodies();
  readonly logs = new Logs();
  /** Where a second history led to a known state: for the audit that the two are indeed one. */
  readonly merges: { readonly local: number; readonly from: number; readonly code: number }[] = [];
  transitionsRun = 0;
  readonly #bounds: Bounds;
  readonly #world: World;
  readonly #numbers = new Map<string, number>();
  readonly #locals: Local[] = [];

  constructor(bounds: Bounds, world: World) {
    this.#bounds = bounds;
    this.#world = world;
  }

  get count(): number {
    return this.#locals.length;
  }

  /** A node that starts with an empty disk. */
  boot(): number {
    return this.#start(new LogDisk(ZERO_ID, { currentTerm: 0, votedFor: "" }, []));
  }

  facts(local: number): Facts {
    return this.#at(local).facts;
  }

  mirror(local: number): number {
    return this.#at(local).mirror;
  }

  /** Undefined when the bounds forbid it. Throws what the core, the disk or a property finds wrong. */
  transition(local: number, code: number): Transition | undefined {
    const { transitions } = this.#at(local);
    const known = transitions.get(code);
    if (known !== undefined || transitions.has(code)) return known;
    const found = this.#run(local, code);
    transitions.set(code, found);
    return found;
  }

  /** What was found out about a state. */
  known(local: number): ReadonlyMap<number, Transition | undefined> {
    return this.#at(local).transitions;
  }

  /** The node in this state, made anew. */
  replay(local: number): LocalNode {
    const inputs: number[] = [];
    let origin = this.#at(local).origin;
    for (; "from" in origin; origin = this.#at(origin.from).origin) inputs.push(origin.code);
    const node = this.#newNode(origin.disk);
    for (let i = inputs.length - 1; i >= 0; i--) this.perform(node, inputs[i] ?? 0);
    return node;
  }

  perform(node: LocalNode, code: number): Sent[] {
    const input = inputOf(code);
    assert(input.kind !== "crash", "a crash ends a node");
    return node.perform(input);
  }

  keyOf(node: LocalNode, mirrored = false): string {
    return keyOf(node, this.bodies, mirrored);
  }

  key(local: number): string {
    return this.#at(local).key;
  }

  #run(local: number, code: number): Transition | undefined {
    const node = this.replay(local);
    // Also what came of mirroring another state is held against the core itself here.
    assert(this.keyOf(node) === this.key(local), "the same inputs lead to the same state, mirrored or not");
    this.transitionsRun++;
    const input = inputOf(code);
    if (input.kind === "crash") return { to: this.#start(node.diskAfterCrash(input.durableTurns)), sent: [] };
    const wasLeader = node.raft.role.kind === "leader";
    if (input.kind === "tick" && !wasLeader && node.raft.currentTerm >= this.#bounds.maxTerm) return undefined;
    const sent = node.perform(input);
    // With its disk overdue a node does not campaign.
    if (input.kind === "tick" && !wasLeader && sent.length === 0) return undefined;
    const { requests, allRequests } = this.#bounds;
    if (!hasSentAtMost(node, input.kind === "tick" ? requests : allRequests)) return undefined;
    return { to: this.#numberOf(node, { from: local, code }), sent };
  }

  #start(disk: LogDisk): number {
    return this.#numberOf(this.#newNode(disk), { disk: copyOf(disk) });
  }

  #newNode(disk: LogDisk): LocalNode {
    return new LocalNode(copyOf(disk), this.#bounds, this.bodies, this.#world);
  }

  #numberOf(node: LocalNode, origin: Origin): number {
    const key = this.keyOf(node);
    const known = this.#numbers.get(key);
    if (known !== undefined) {
      if ("from" in origin) this.merges.push({ local: known, ...origin });
      return known;
    }
    const facts = factsOf(node, this.logs);
    const number = this.#add(key, origin, facts);
    const mirroredKey = this.keyOf(node, true);
    if (mirroredKey !== key) {
      const mirror = this.#add(mirroredKey, this.#mirroredOrigin(origin), facts);
      this.#at(number).mirror = mirror;
      this.#at(mirror).mirror = number;
    }
    return number;
  }

  #add(key: string, origin: Origin, facts: Facts): number {
    const number = this.#locals.length;
    assert(!this.#numbers.has(key), "a state and its mirror are met together");
    assert(number < MAX_LOCALS, "there are too many local states");
    this.#numbers.set(key, number);
    this.#locals.push({ key, origin, facts, mirror: number, transitions: new Map() });
    return number;
  }

  #mirroredOrigin(origin: Origin): Origin {
    if ("from" in origin) return { from: this.mirror(origin.from), code: mirroredCode(origin.code) };
    const { disk } = origin;
    return { disk: new LogDisk(disk.base, mirroredHardState(disk.hardState), disk.entries) };
  }

  #at(local: number): Local {
    const found = this.#locals[local];
    assert(found !== undefined, `there is no local state ${local}`);
    return found;
  }
}

function mirroredHardState({ currentTerm, votedFor }: HardState): HardState {
  const mirrored: Record<NodeId, NodeId> = { b: "c", c: "b" };
  return { currentTerm, votedFor: mirrored[votedFor] ?? votedFor };
}

/** A leader at its limit may still find that it has lost the others, and step down. */
function hasSentAtMost({ raft, sequences }: LocalNode, requests: number): boolean {
  return raft.role.kind !== "leader" || Math.max(sequences.b.length, sequences.c.length) <= requests;
}
