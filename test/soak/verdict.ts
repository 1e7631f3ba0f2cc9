import type { NodeSample, Sample } from "./sample.ts";

const MIB = 2 ** 20;

/** What may be used more in the last sixth of the run than in the second one. */
const MAX_GROWTH = 0.3;

/** In less than this a cluster isn't warm in its second sixth: growth is shown, and judges nothing. */
const MIN_SECONDS = 720;

const P99_TARGET = 2;

export interface Verdict {
  readonly isWell: boolean;
  readonly lines: readonly string[];
}

/** What a run has shown. */
export function verdictOf(samples: readonly Sample[], violations: readonly string[]): Verdict {
  const seconds = samples.at(-1)?.seconds ?? 0;
  const isLong = seconds >= MIN_SECONDS;
  const growths = (["disk", "resident"] as const).map((what) => growthOf(samples, seconds, what));
  const isFlat = growths.every(({ growth }) => growth <= MAX_GROWTH);
  const lines = growths.map(({ text, growth }) => {
    const flat = growth <= MAX_GROWTH ? "flat" : "NOT FLAT";
    return `${text}: ${isLong ? flat : "the run is too short to judge that"}`;
  });
  lines.push(p99Line(samples), ...violations.map((violation) => `WRONG: ${violation}`));
  lines.push(violations.length === 0 ? "all digests are equal, no command is missing or doubled" : "broken promises");
  return { isWell: violations.length === 0 && (isFlat || !isLong), lines };
}

function growthOf(
  samples: readonly Sample[],
  seconds: number,
  what: "disk" | "resident",
): { text: string; growth: number } {
  const meanIn = (sixth: number): number => {
    const within = samples.filter((sample) => Math.min(5, Math.floor((sample.seconds / seconds) * 6)) === sixth);
    // A node that is down has no memory.
    const values = within.flatMap(({ nodes }) => nodes.map((node: NodeSample) => node[what])).filter((it) => it > 0);
    return mean(values);
  };
  const [early, late] = [meanIn(1), meanIn(5)];
  const growth = late / early - 1;
  const name = what === "disk" ? "disk" : "resident memory";
  const change = `${growth < 0 ? "" : "+"}${(growth * 100).toFixed(0)} %`;
  return {
    text: `${name} of a node: ${(early / MIB).toFixed(0)} MiB in the second sixth, ${(late / MIB).toFixed(0)} in the last, ${change}`,
    growth,
  };
}

/** By the median of the intervals: one that something else on the machine has disturbed speaks for none. */
function p99Line(samples: readonly Sample[]): string {
  const calm = samples.filter(({ hasKill, seconds }) => !hasKill && seconds > 30);
  const p99 = (hasSnapshot: boolean): number[] =>
    calm.filter((sample) => sample.hasSnapshot === hasSnapshot).map(({ load }) => load.p99);
  const [without, during] = [p99(false), p99(true)];
  const counts = `${during.length} intervals with a snapshot, ${without.length} without`;
  if (during.length === 0 || without.length === 0) return `p99: ${counts}, so there is nothing to compare`;
  const [besides, usual] = [median(during), median(without)];
  const ratio = besides / usual;
  const target = `target ${P99_TARGET}: ${ratio <= P99_TARGET ? "met" : "MISSED"}`;
  return `median p99 ${besides.toFixed(1)} ms with a snapshot, ${usual.toFixed(1)} without: ${ratio.toFixed(2)} times (${counts}; ${target})`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}
