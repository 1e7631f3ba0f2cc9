import { spawn } from "node:child_process";
import { join } from "node:path";

/** A command, run in a scratch copy of the tree with the pinned Node. */
export interface Command {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** A mutant may loop for ever: that is noticed too. Long enough for a busy machine. */
  readonly timeoutMs: number;
}

const VITEST = ["node_modules/vitest/vitest.mjs", "run"];

/** All directed tests of the parts that have mutants: fast, in one process each, and without the simulation. */
export const DIRECTED_FOLDERS: readonly string[] = ["test/raft", "test/node", "test/apply"];

export function directedTests(files: readonly string[], bail = 1): Command {
  return {
    args: [...VITEST, `--bail=${bail}`, "--exclude=test/raft/random.test.ts", "--testTimeout=20000", ...files],
    env: {},
    timeoutMs: 120_000,
  };
}

/** Exits with 1 and prints the seed when one of 200 shows a violation. */
export const SIMULATION_COMMAND: Command = {
  args: ["test/simulation/run.ts", "--seeds", "200", "--workers", "1"],
  env: {},
  timeoutMs: 300_000,
};

export type Outcome =
  | { readonly kind: "passed" }
  /** `by` names the test or the seed. */
  | { readonly kind: "failed"; readonly by: string }
  /** It failed, but no test did: a mutant that doesn't parse, or a file that is gone. Nothing was noticed. */
  | { readonly kind: "broken"; readonly why: string };

/** Runs directed tests up to the first failure. Now and then vitest ends before it has told which: then all are run. */
export async function runDirected(files: readonly string[], folder: string): Promise<Outcome> {
  const outcome = await run(directedTests(files), folder);
  return outcome.kind === "broken" ? run(directedTests(files, 0), folder) : outcome;
}

export function run(command: Command, folder: string): Promise<Outcome> {
  const child = spawn(join(folder, "node_modules/.bin/node"), command.args, {
    cwd: folder,
    env: { ...process.env, ...command.env, NO_COLOR: "1", CI: "1" },
    stdio: ["ignore", "pipe", "pipe"],
    // A group of its own, so that its workers end with it.
    detached: true,
  });
  const output: Buffer[] = [];
  child.stdout.on("data", (bytes: Buffer) => output.push(bytes));
  child.stderr.on("data", (bytes: Buffer) => output.push(bytes));
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  }, command.timeoutMs);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      if (code === 0) return resolve({ kind: "passed" });
      if (isLate) return resolve({ kind: "failed", by: `no end within ${command.timeoutMs / 1000} s` });
      resolve(outcomeOf(Buffer.concat(output).toString()));
    });
  });
}

/** Of a command that failed. */
function outcomeOf(output: string): Outcome {
  const seed = /\bseed[ =:]+(\d+)/i.exec(output)?.[1];
  if (seed !== undefined) return { kind: "failed", by: `seed ${seed}` };
  // A file that couldn't be loaded is a FAIL without a test's name.
  const failed = /FAIL\s+(\S+ > .*)/.exec(output)?.[1];
  if (failed !== undefined) return { kind: "failed", by: failed };
  return { kind: "broken", why: output.trim().split("\n").slice(-5).join(" | ") };
}
