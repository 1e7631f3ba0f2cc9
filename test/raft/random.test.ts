import { describe, expect, it } from "vitest";
import { runScenario } from "./simulation/scenario.ts";

/** `SEED=7 SEEDS=1000 npx vitest run test/raft/random.test.ts` runs seeds 7 to 1,006. */
const first = Number(process.env["SEED"] ?? 1);
const count = Number(process.env["SEEDS"] ?? 60);

describe("cores over a network and disks that lose, delay, repeat and reorder", () => {
  it(`keeps Election Safety, Leader Append-Only, Log Matching, Leader Completeness and State Machine Safety; acknowledges,
    commits and delivers only what is on disks; reads nothing stale; and recovers when the trouble ends`, {
    timeout: count * 5_000,
  }, () => {
    for (let seed = first; seed < first + count; seed++) {
      try {
        runScenario(seed);
      } catch (cause) {
        throw new Error(`seed ${seed}; replay: SEED=${seed} SEEDS=1 npx vitest run test/raft/random.test.ts`, {
          cause,
        });
      }
    }
  });

  it("equal seeds give equal runs", () => {
    for (const seed of [first, first + 1]) expect(runScenario(seed)).toBe(runScenario(seed));
    expect(runScenario(first)).not.toBe(runScenario(first + 1));
  });
});
