import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type Entry, EntrySchema } from "../../gen/raft/v1/log_pb.js";
import { Ledger } from "./ledger.ts";
import { plotOf } from "./plot.ts";
import type { Sample } from "./sample.ts";
import { State } from "./state.ts";
import { verdictOf } from "./verdict.ts";

/** Commands of one client in the order of their sequences, at indexes from 1 on. */
function stateOf(...sequences: number[]): State {
  const state = new State();
  sequences.forEach((sequence, i) => {
    state.apply(entryOf(i + 1, sequence));
  });
  return state;
}

function entryOf(index: number, sequence: number): Entry {
  const command = Buffer.from(`command ${sequence}`);
  return create(EntrySchema, { index: BigInt(index), term: 1n, command, clientId: "c", sequence: BigInt(sequence) });
}

/** Samples of one node at even times, whose memory and disk are as given. */
function samplesOf(seconds: number, used: (share: number) => number): Sample[] {
  return Array.from({ length: 60 }, (_, i) => {
    const bytes = used((i + 1) / 60) * 2 ** 20;
    return {
      seconds: ((i + 1) / 60) * seconds,
      intervalSeconds: seconds / 60,
      load: { acknowledged: 1, p50: 1, p99: i % 2 === 0 ? 30 : 10, max: 30, retries: 0, duplicates: 0 },
      nodes: [{ resident: bytes, disk: bytes, first: 1, last: 1 }],
      snapshots: 0,
      hasSnapshot: i % 2 === 0,
      hasKill: false,
    };
  });
}

describe("the soak notices", () => {
  it("a command that is missing, doubled, or was never sent", () => {
    expect(stateOf(2, 1, 3).violations(new Map([["c", 3]]))).toEqual([]);
    expect(stateOf(1, 3).violations(new Map([["c", 3]]))).toEqual(["c misses 2, of 3"]);
    expect(stateOf(1, 2, 2).violations(new Map([["c", 2]]))).toEqual(["1 commands were applied twice"]);
    expect(stateOf(1, 2).violations(new Map([["c", 1]]))).toEqual(["c has 2, which was never sent"]);
    expect(stateOf(1).violations(new Map())).toEqual(["c was never sent"]);
  });

  it("another order, also through a snapshot", () => {
    expect(stateOf(2, 1).digest).not.toBe(stateOf(1, 2).digest);
    const restored = State.decode(Buffer.concat([...stateOf(3, 1).encode(5_000)]));
    restored.apply(entryOf(3, 2));
    expect(restored.digest).toBe(stateOf(3, 1, 2).digest);
    expect(restored.violations(new Map([["c", 3]]))).toEqual([]);
  });

  it("a digest that differs at the same index", () => {
    const ledger = new Ledger();
    const at = (state: State): State => Object.assign(state, { position: 5_000 });
    ledger.note("one", at(stateOf(1, 2)));
    ledger.note("two", at(stateOf(1, 2)));
    expect(ledger.violations).toEqual([]);
    ledger.note("three", at(stateOf(2, 1)));
    expect(ledger.violations).toEqual(["three: its digest at 5000 differs from that of one"]);
  });

  it("disk and memory that grow, in a run that is long enough to tell", () => {
    const grows = (share: number): number => 100 + 100 * share;
    expect(verdictOf(samplesOf(1_800, grows), []).isWell).toBe(false);
    expect(verdictOf(samplesOf(180, grows), []).isWell).toBe(true);
    const flat = verdictOf(
      samplesOf(1_800, () => 100),
      [],
    );
    expect(flat.isWell).toBe(true);
    expect(flat.lines.join("\n")).toContain("3.00 times");
    expect(
      verdictOf(
        samplesOf(1_800, () => 100),
        ["x"],
      ).isWell,
    ).toBe(false);
  });
});

it("the plot has a curve for each node that was there, and one for the latency", () => {
  const svg = plotOf(
    samplesOf(60, () => 100),
    [30_000],
  );
  expect(svg.match(/<polyline/g)).toHaveLength(3);
  expect(svg.match(/stroke-dasharray/g)).toHaveLength(3);
});
