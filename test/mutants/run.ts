import { parseArgs } from "node:util";
import { DIRECTED_FOLDERS, directedTests, type Outcome, run, runDirected, SIMULATION_COMMAND } from "./commands.ts";
import { mutants } from "./list.ts";
import { type Mutant, mutated } from "./mutant.ts";
import { readSource, Scratch } from "./scratch.ts";

/**
 * Makes every named mutant in turn and shows what notices it. Exits with 1 when one survives or has no place any more.
 *
 *     node test/mutants/run.ts [--only NAME] [--matrix]
 *
 * By default a mutant gets the tests that its `caughtBy` names, and the simulation when they don't notice it. With
 * `--matrix` it gets all directed tests and the simulation, each alone.
 */
const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    matrix: { type: "boolean", default: false },
  },
});

/** Two cores are what a small CI machine has. */
const WORKERS = 2;

interface Verdict {
  readonly mutant: Mutant;
  readonly directed: Outcome | undefined;
  readonly simulation: Outcome | undefined;
}

const chosen = choose();
const verdicts: Verdict[] = [];

if (hasPlaces() && (await passesUnchanged())) {
  const queue = [...chosen];
  await Promise.all(Array.from({ length: WORKERS }, () => work(queue)));
  const survivors = verdicts.filter(survived);
  for (const { mutant } of survivors) say(`SURVIVED: ${mutant.name} (${mutant.file})`);
  const bySimulation = verdicts.filter(({ simulation }) => simulation?.kind === "failed").length;
  const alone = options.matrix ? `, ${bySimulation} by the simulation alone` : "";
  say(`${verdicts.length - survivors.length} of ${verdicts.length} mutants caught${alone}`);
  if (survivors.length > 0) process.exitCode = 1;
} else {
  process.exitCode = 1;
}

function choose(): readonly Mutant[] {
  if (options.only === undefined) return mutants;
  const named = mutants.filter(({ name }) => name === options.only);
  if (named.length === 0) throw new Error(`no mutant is named ${options.only}`);
  return named;
}

/** All of the list, not only what was chosen, and with the tests that it names: it must not rot. */
function hasPlaces(): boolean {
  const names = new Set(mutants.map(({ name }) => name));
  const faults = names.size < mutants.length ? ["two mutants have one name"] : [];
  for (const mutant of mutants) {
    try {
      mutated(readSource(mutant.file), mutant);
      for (const test of mutant.caughtBy) readSource(test);
    } catch (error) {
      faults.push(error instanceof Error ? error.message : String(error));
    }
  }
  for (const fault of faults) say(fault);
  return faults.length === 0;
}

/** Without a mutant nothing may fail, or every one would seem to be caught. */
async function passesUnchanged(): Promise<boolean> {
  const scratch = new Scratch();
  try {
    for (const command of [directedTests(DIRECTED_FOLDERS), SIMULATION_COMMAND]) {
      const outcome = await run(command, scratch.folder);
      if (outcome.kind !== "passed") say(`fails without any mutant: ${text(outcome)}`);
      if (outcome.kind !== "passed") return false;
    }
    return true;
  } finally {
    scratch.remove();
  }
}

async function work(queue: Mutant[]): Promise<void> {
  const scratch = new Scratch();
  try {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const verdict = await judge(mutant, scratch);
      verdicts.push(verdict);
      say(describe(verdict));
    }
  } finally {
    scratch.remove();
  }
}

function judge(mutant: Mutant, scratch: Scratch): Promise<Verdict> {
  const files = options.matrix ? DIRECTED_FOLDERS : mutant.caughtBy;
  return scratch.with(mutant, async () => {
    const directed = files.length === 0 ? undefined : await runDirected(files, scratch.folder);
    const isOpen = options.matrix || directed?.kind !== "failed";
    const simulation = isOpen ? await run(SIMULATION_COMMAND, scratch.folder) : undefined;
    return { mutant, directed, simulation };
  });
}

function survived({ directed, simulation }: Verdict): boolean {
  return directed?.kind !== "failed" && simulation?.kind !== "failed";
}

function describe(verdict: Verdict): string {
  const { mutant, directed, simulation } = verdict;
  if (options.matrix) return `${mutant.name} | ${text(directed)} | ${text(simulation)}`;
  if (survived(verdict)) return `SURVIVED ${mutant.name}: ${text(directed)}; simulation: ${text(simulation)}`;
  return `caught   ${mutant.name}: ${text(directed?.kind === "failed" ? directed : simulation)}`;
}

function text(outcome: Outcome | undefined): string {
  switch (outcome?.kind) {
    case undefined:
      return "not run";
    case "passed":
      return "no";
    case "failed":
      return outcome.by;
    case "broken":
      return `BROKEN ${outcome.why}`;
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
