import { assert } from "../../src/assert.ts";
import { type Plan, planOf } from "./plan.ts";
import { runPlan } from "./seed.ts";
import { kindOf, shrink } from "./shrink.ts";

/** A seed writes some ten thousand lines. Who writes so many hangs. */
const MAX_LINES = 2_000_000;

/** Runs one seed with everything that happens written out; of one that fails, the shortest run that fails like it. */
export function replay(seed: number, write: (line: string) => void): boolean {
  const plan = planOf(seed);
  const first = run(plan);
  const difference = differenceOf(first.lines, run(plan).lines);
  if (difference !== undefined) {
    write(`seed ${seed} fails: two runs differ, so something undecided has leaked in; first here:\n${difference}`);
    return false;
  }
  const { failure } = first;
  if (failure === undefined) {
    describe(plan, write);
    for (const line of first.lines) write(line);
    write(`seed ${seed} is well`);
    return true;
  }
  const simplest = shrink(plan, (simpler) => kindOf(run(simpler).failure ?? "") === kindOf(failure));
  const last = run(simplest);
  describe(simplest, write);
  for (const line of last.lines) write(line);
  write(`seed ${seed} fails: ${failure}`);
  write(
    `the shortest run that was found to fail like it, above, has ${simplest.troubleMs} ms of trouble: ${last.failure}`,
  );
  return false;
}

interface Run {
  readonly lines: readonly string[];
  readonly failure: string | undefined;
}

function run(plan: Plan): Run {
  const lines: string[] = [];
  try {
    const { virtualMs, elections, commits, digest } = runPlan(plan, (line) => {
      lines.push(line);
      assert(lines.length <= MAX_LINES, "it does not end");
    });
    lines.push(`${(virtualMs / 1000).toFixed(1)} s, ${elections} elections, ${commits} commits, digest ${digest}`);
    return { lines, failure: undefined };
  } catch (error) {
    return { lines, failure: error instanceof Error ? error.message : String(error) };
  }
}

/** Where two transcripts part. */
function differenceOf(one: readonly string[], other: readonly string[]): string | undefined {
  const at = one.findIndex((line, i) => line !== other[i]);
  if (at === -1 && one.length === other.length) return undefined;
  const place = at === -1 ? one.length : at;
  return `  ${one[place] ?? "the end"}\n  ${other[place] ?? "the end"}`;
}

function describe({ seed, size, node, workload, network, troubles }: Plan, write: (line: string) => void): void {
  write(`seed ${seed}: ${size} nodes`);
  write(`node ${JSON.stringify(node)}`);
  write(`workload ${JSON.stringify(workload)}`);
  write(`network ${JSON.stringify(network)}`);
  write(`troubles, and from one to the next in ms: ${JSON.stringify([...troubles])}`);
}
