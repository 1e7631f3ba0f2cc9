import { parseArgs } from "node:util";
import { recordNodes } from "./nodes-workload.ts";
import { hasRecorder } from "./recorder.ts";
import { syncCounts } from "./recording.ts";
import { selfCheck } from "./self-check.ts";
import { recordStorage } from "./storage-workload.ts";
import { type Sweep, sweep } from "./sweep.ts";

/**
 * Cuts the power of what really ran, at many moments, and opens what is left: `node test/powerloss/run.ts --seed 7`.
 * Exits with 1 when anything is lost, or when a program that does lose something isn't caught. `--workload` runs one alone,
 * and `--cuts` says at how many moments.
 */
const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    workload: { type: "string" },
    cuts: { type: "string", default: "21" },
  },
});

const WORKLOADS = {
  node: () => recordNodes(1),
  cluster: () => recordNodes(3),
  storage: recordStorage,
};

const seed = wholeNumber("seed", values.seed);
const cuts = wholeNumber("cuts", values.cuts);
if (!hasRecorder) fail("this needs Linux and a C compiler named cc");
say(`seed ${seed}`);

const sweeps: Sweep[] = [];
for (const [name, record] of Object.entries(WORKLOADS)) {
  if (values.workload === undefined || values.workload === name) sweeps.push(await runOne(name, record));
}
if (sweeps.length === 0) fail(`no workload is named ${values.workload}`);

const checked = values.workload === undefined ? await selfCheck(seed, say) : { caught: [], missed: [] };
const losses = sum((one) => one.losses.length);
say(
  [
    `${sweeps.length} workloads, ${sum((one) => one.cuts)} moments, ${sum(({ images }) => images)} images, ${losses} losses`,
    ...checked.caught.map((name) => `caught: ${name}`),
    ...checked.missed.map((name) => `NOT CAUGHT: ${name}`),
  ].join("; "),
);
process.exit(losses === 0 && checked.missed.length === 0 ? 0 : 1);

async function runOne(name: string, record: (typeof WORKLOADS)[keyof typeof WORKLOADS]): Promise<Sweep> {
  const startedMs = performance.now();
  const workload = await record();
  const { recording, promised } = workload;
  const recordedMs = performance.now();
  const counts = [...syncCounts(recording)].map(([file, count]) => `${file} ${count}`);
  say(
    `${name}: ${promised} promises and ${recording.records.length} records in ${seconds(recordedMs - startedMs)} s; ` +
      `syncs: ${counts.join(", ")}`,
  );
  const found = await sweep(name, workload, cuts, seed);
  for (const loss of found.losses) say(`LOST ${loss}`);
  say(
    `${name}: ${found.images} images of ${found.cuts} moments in ${seconds(performance.now() - recordedMs)} s, ` +
      `${found.losses.length} with losses`,
  );
  return found;
}

function sum(of: (one: Sweep) => number): number {
  return sweeps.reduce((total, one) => total + of(one), 0);
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  return fail(`--${name} must be a whole number, not ${text}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function fail(why: string): never {
  say(why);
  process.exit(2);
}
