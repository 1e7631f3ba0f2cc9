import process from "node:process";
import { BOUNDS, type Bounds } from "./bounds.ts";
import { ALL_SAVINGS, type Exploration, explore, type Progress } from "./explorer.ts";
import { transcript } from "./transcript.ts";

/**
 * `make model`: explores one set of bounds after the other. Arguments: names of `BOUNDS`, all when there is none. Ends
 * with a table, and with exit code 1 when a property was violated.
 */
const MINUTES = Number(process.env["MODEL_MINUTES"] ?? 30);
/** Of the table of states. What the local states take comes on top, well below a gigabyte. */
const MAX_BYTES = 6 * 2 ** 30;
const PROGRESS_MS = 10_000;

const start = performance.now();

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function seconds(): string {
  return `${((performance.now() - start) / 1000).toFixed(0)} s`;
}

function text({ states, explored, transitions, depth, localStates, localTransitions }: Progress): string {
  return (
    `${states} states, ${explored} of them explored, ${transitions} transitions, depth ${depth}; ` +
    `${localStates} local states, ${localTransitions} turns of the core`
  );
}

function run(name: string, bounds: Bounds): Exploration {
  // That some messages can do nothing is true of a core that is right about late ones. Only what has no end in reach
  // anyway relies on it.
  const savings = { ...ALL_SAVINGS, forgetsInert: name === "full" };
  print(`${name}: ${JSON.stringify(bounds)}`);
  let shown = performance.now();
  const exploration = explore({
    bounds,
    savings,
    isEnough: (progress) => {
      if (performance.now() - shown > PROGRESS_MS) {
        shown = performance.now();
        print(`  ${seconds()}: ${text(progress)}`);
      }
      return performance.now() - start > MINUTES * 60_000 || progress.bytes > MAX_BYTES;
    },
  });
  const { violation, locals } = exploration;
  if (violation === undefined) return exploration;
  print(`VIOLATION: ${violation.message}`);
  for (const line of transcript(violation.path, locals, bounds, savings)) print(`  ${line}`);
  return exploration;
}

const names = process.argv.slice(2);
const lines: string[] = [];
for (const [name, bounds] of Object.entries(BOUNDS)) {
  if (names.length > 0 && !names.includes(name)) continue;
  const before = performance.now();
  const exploration = run(name, bounds);
  const { violation, isComplete } = exploration;
  const end = violation !== undefined ? "VIOLATION" : isComplete ? "fixpoint" : "no fixpoint, no violation so far";
  const took = ((performance.now() - before) / 1000).toFixed(0);
  lines.push(`${name}: ${end} after ${took} s; ${text(exploration)}`);
  if (violation !== undefined) process.exitCode = 1;
}
for (const line of lines) print(line);
const { user } = process.cpuUsage();
print(
  `${(user / 1e6).toFixed(0)} s of processor, ${(process.resourceUsage().maxRSS / 2 ** 20).toFixed(1)} GiB at most`,
);
