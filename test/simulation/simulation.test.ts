import { describe, expect, it } from "vitest";
import { planOf } from "./plan.ts";
import { runPlan } from "./seed.ts";
import { shrink } from "./shrink.ts";
import { runSeed } from "./worker.ts";

const SEEDS = 30;

describe("whole nodes over a network, disks and clocks that do their worst", () => {
  it("keep every promise, and recover; each seed twice, with the same trace", { timeout: 120_000 }, () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const report = runSeed(seed, true);
      expect(report.kind === "failed" ? `seed ${seed}: ${report.message}` : "well").toBe("well");
    }
  });

  it("other seeds give other runs", () => {
    expect(runPlan(planOf(1)).digest).not.toBe(runPlan(planOf(2)).digest);
  });
});

describe("a failing plan", () => {
  it("is made as short and simple as it can be without being well", () => {
    const plan = planOf(3);
    const [needed] = plan.troubles.keys();
    const fails = ({ troubleMs, troubles }: typeof plan): boolean =>
      needed !== undefined && troubles.has(needed) && troubleMs > 7_000;
    const simplest = shrink(plan, fails);
    expect([...simplest.troubles.keys()]).toEqual([needed]);
    expect(simplest.subscribers).toBe(0);
    expect(simplest.troubleMs).toBeGreaterThan(7_000);
    expect(simplest.troubleMs).toBeLessThan(7_200);
  });
});
