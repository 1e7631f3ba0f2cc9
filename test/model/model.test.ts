import { describe, expect, it } from "vitest";
import type { Message } from "../../src/raft/message.ts";
import { LogDisk } from "../simulation/log-disk.ts";
import { auditMerges, auditMirrors } from "./audit.ts";
import { BOUNDS, type Bounds, RIVALS } from "./bounds.ts";
import { type Exploration, explore } from "./explorer.ts";
import type { Locals } from "./locals.ts";
import { unpack, WORDS } from "./state.ts";
import type { Savings } from "./successors.ts";
import { canonical } from "./symmetry.ts";
import { TRUE_WORLD, type World } from "./world.ts";

const TINY: Bounds = { ...RIVALS, timeouts: 1, proposals: 1, requests: 1 };
const ONE_BY_ONE: Bounds = { ...RIVALS, inFlight: 1, requests: 1, crashes: 1 };
const ONE_BY_ONE_TWICE: Bounds = { ...RIVALS, inFlight: 1, requests: 1, maxTerm: 2 };

describe("three cores, in all orders of all that can happen", () => {
  it("keep every property with two candidates in one term", () => {
    const { violation, isComplete, states } = explore({ bounds: RIVALS });
    expect(violation).toBeUndefined();
    expect(isComplete).toBe(true);
    expect(states).toBeGreaterThan(10_000);
  });

  it("keep every property from leader to leader, with a proposal and a crash", () => {
    const { violation, isComplete, states } = explore({ bounds: { ...BOUNDS.narrow, duplicates: 0 } });
    expect(violation).toBeUndefined();
    expect(isComplete).toBe(true);
    expect(states).toBeGreaterThan(100_000);
  });

  it("keep every property with two candidates, a crash and a message that comes twice", () => {
    const { violation, isComplete, states } = explore({
      bounds: { ...RIVALS, inFlight: 1, crashes: 1, duplicates: 1 },
    });
    expect(violation).toBeUndefined();
    expect(isComplete).toBe(true);
    expect(states).toBeGreaterThan(5_000);
  });
});

describe("what the explorer leaves out", () => {
  it("is the same state: histories that are merged behave alike, and so do mirrored ones", () => {
    const { locals } = explore({ bounds: TINY });
    expect(auditMerges(locals, 4)).toBeGreaterThan(500);
    expect(auditMirrors(locals, 4)).toBeGreaterThan(500);
  });

  it.each([
    ["messages that are lost early", { losesLate: false }, exactly],
    ["states with the nodes in other places", { mergesSymmetric: false }, exactly],
    // Such a message may end a lease by the time that it takes, and its refusal be held back before it does nothing.
    ["messages that can do nothing", { forgetsInert: false }, roughly],
  ] as const)("%s lead to nothing else", (_, without: Partial<Savings>, view: View) => {
    for (const bounds of [ONE_BY_ONE, ONE_BY_ONE_TWICE, { ...TINY, proposals: 0 }]) {
      const saving = explore({ bounds });
      const whole = explore({ bounds, savings: without, locals: saving.locals });
      const [some, all] = [nodesOf(saving, view), nodesOf(whole, view)];
      expect([...all].filter((nodes) => !some.has(nodes))).toEqual([]);
      expect([...some].filter((nodes) => !all.has(nodes))).toEqual([]);
      expect(whole.states).toBeGreaterThan(saving.states);
    }
  });
});

describe("in a world that breaks a promise the explorer finds what comes of it", () => {
  it.each<[string, Bounds, Partial<World>, RegExp]>([
    ["a disk that reports a turn too early", TINY, { reportsEarly: true }, /the disk is not given the hard state/],
    [
      "a disk that forgets a vote in a crash",
      { ...RIVALS, crashes: 1 },
      { afterCrash: ({ base, hardState, entries }) => new LogDisk(base, { ...hardState, votedFor: "" }, entries) },
      /Election Safety/,
    ],
    [
      "a disk that loses acknowledged entries in a crash",
      { ...RIVALS, maxTerm: 2, crashes: 1 },
      { afterCrash: ({ base, hardState }) => new LogDisk(base, hardState, []), checksDisks: false },
      /Leader Completeness|State Machine Safety|no quorum/,
    ],
    ["a network that turns a refusal into a vote", RIVALS, { onTheWay: forgedVote }, /Election Safety/],
    ["a network that raises a match", { ...TINY, inFlight: 3 }, { onTheWay: forgedMatch }, /no quorum has it/],
  ])("%s", (_, bounds, broken, message) => {
    // What nodes say is no longer bound by what they know, so late messages may do something after all.
    const world = { ...TRUE_WORLD, ...broken };
    const { violation } = explore({
      bounds,
      world,
      savings: { forgetsInert: false },
      isEnough: ({ states }) => states > 400_000,
    });
    expect(violation?.message).toMatch(message);
  });
});

function forgedVote(message: Message): Message {
  if (message.kind !== "requestVoteResponse" || message.preVote) return message;
  return { ...message, granted: true, term: message.electionTerm };
}

function forgedMatch(message: Message): Message {
  return message.kind === "appendEntriesResponse" && message.success
    ? { ...message, match: message.match + 1 }
    : message;
}

type View = (node: number, locals: Locals) => string;

function exactly(node: number): string {
  return String(node);
}

function roughly(node: number, locals: Locals): string {
  return JSON.stringify({ ...locals.facts(node), hasLease: false });
}

/** What the nodes can come to, whatever is in flight. */
function nodesOf({ visited, locals, violation, isComplete }: Exploration, view: View): Set<string> {
  expect({ violation, isComplete }).toEqual({ violation: undefined, isComplete: true });
  const found = new Set<string>();
  const words = new Uint32Array(WORDS);
  for (let place = 0; place < visited.count; place++) {
    visited.read(place, words);
    const { nodes, led, committed } = canonical({ ...unpack(words), messages: [], budget: 0 }, locals);
    // Which order comes first depends on all of a node's state, and not on what is seen of it roughly.
    const seen = nodes.map((node) => view(node, locals));
    found.add([...(view === exactly ? [...seen, led] : seen.sort()), committed].join());
  }
  return found;
}
