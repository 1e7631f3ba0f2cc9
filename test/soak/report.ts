import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { plotOf } from "./plot.ts";
import { lineOf, type Sample } from "./sample.ts";
import type { SoakOptions } from "./soak.ts";
import type { Verdict } from "./verdict.ts";

/** Writes the summary and the plot. Returns where. */
export function writeReport(
  { seconds, rate, snapshotEvery, stateBytes, killEverySeconds, output }: SoakOptions,
  samples: readonly Sample[],
  killsMs: readonly number[],
  counts: readonly string[],
  verdict: Verdict,
): string {
  const summary = [
    "# Soak",
    "",
    `${seconds / 60} minutes at ${rate} commands a second of 256 bytes; a snapshot of ${stateBytes} bytes every ${snapshotEvery}`,
    `entries; kill -9 of a random node every ${killEverySeconds} s.`,
    "",
    verdict.isWell ? "**All is well.**" : "**Something is wrong.**",
    "",
    ...[...counts, ...verdict.lines].map((line) => `- ${line}`),
    "",
    "![memory, disk and latency over time](soak.svg)",
    "",
    "```",
    ...samples.map(lineOf),
    "```",
    "",
  ];
  writeFileSync(join(output, "soak.svg"), plotOf(samples, killsMs));
  writeFileSync(join(output, "soak.md"), summary.join("\n"));
  return output;
}
