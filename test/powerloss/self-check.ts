import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Mutant } from "../mutants/mutant.ts";
import { Scratch } from "../mutants/scratch.ts";

/** A way to lose what was acknowledged that nothing but a loss of power shows, and the workload that shows it. */
interface PowerLossMutant extends Mutant {
  readonly workload: string;
}

const MUTANTS: readonly PowerLossMutant[] = [
  {
    name: "synchronous=NORMAL",
    file: "src/storage/connection.ts",
    find: 'setPragma(db, "synchronous", "FULL", 2);',
    replace: 'setPragma(db, "synchronous", "NORMAL", 1);',
    caughtBy: [],
    workload: "node",
  },
  {
    name: "a data directory whose name isn't synced",
    file: "src/storage/directory.ts",
    find: "  mkdirSync(directory);\n  syncDirectory(parent);\n",
    replace: "  mkdirSync(directory);\n",
    caughtBy: [],
    workload: "storage",
  },
  {
    name: "a snapshot's file isn't synced before its row",
    file: "src/storage/snapshot-files.ts",
    find: "    await this.#file.sync();\n",
    replace: "",
    caughtBy: [],
    workload: "storage",
  },
  {
    name: "a snapshot's name isn't synced before its row",
    file: "src/storage/snapshot-files.ts",
    find: "    await syncFolder(this.#folder);\n",
    replace: "",
    caughtBy: [],
    workload: "storage",
  },
];

/** Chance decides what is lost at a moment: more of them where none of the first showed anything. */
const CUTS = [12, 36, 108];
const TIMEOUT_MS = 120_000;

export interface SelfCheck {
  readonly caught: readonly string[];
  readonly missed: readonly string[];
}

/** Runs this very test on programs that do lose something. Each has to show a loss; a run that breaks shows none. */
export async function selfCheck(seed: number, say: (line: string) => void): Promise<SelfCheck> {
  const scratch = new Scratch();
  const caught: string[] = [];
  const missed: string[] = [];
  try {
    for (const mutant of MUTANTS) {
      const [output, losses] = await scratch.with(mutant, async () => lossesOf(scratch.folder, mutant.workload, seed));
      (losses.length > 0 ? caught : missed).push(mutant.name);
      say(
        losses.length > 0
          ? `caught ${mutant.name} in ${losses.length} images, such as: ${losses[0]}`
          : `NOT CAUGHT ${mutant.name}: ${output}`,
      );
    }
  } finally {
    scratch.remove();
  }
  return { caught, missed };
}

/** What the last run printed, and of that the lines with losses. */
function lossesOf(folder: string, workload: string, seed: number): readonly [string, readonly string[]] {
  let output = "";
  for (const cuts of CUTS) {
    output = runIn(folder, workload, cuts, seed);
    const losses = output.split("\n").filter((line) => line.startsWith("LOST "));
    if (losses.length > 0) return [output, losses];
  }
  return [output, []];
}

function runIn(folder: string, workload: string, cuts: number, seed: number): string {
  const args = ["test/powerloss/run.ts", "--workload", workload, "--cuts", String(cuts), "--seed", String(seed)];
  const node = join(folder, "node_modules", ".bin", "node");
  const { stdout, stderr } = spawnSync(node, args, { cwd: folder, encoding: "utf8", timeout: TIMEOUT_MS });
  return `${stdout}${stderr}`;
}
