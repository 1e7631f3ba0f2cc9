import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { vi } from "vitest";
import { run as runProgram } from "../../src/cli/run.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  /** What came so far. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly finished: Promise<Finished>;
}

/** Starts the program from source. The caller ends it: `endAll` ends what is left. */
export function start(
  args: readonly string[],
  options: { env?: Record<string, string>; input?: string } = {},
): Running {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
  });
  started.add(child);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  child.stdin.end(options.input ?? "");
  const finished = once(child, "close").then(([code]: (number | null)[]): Finished => {
    started.delete(child);
    return { code: code ?? null, stdout, stderr };
  });
  return { child, stdout: () => stdout, stderr: () => stderr, finished };
}

/** Runs the program from source to its end. */
export function run(args: readonly string[], options: { env?: Record<string, string>; input?: string } = {}) {
  return start(args, options).finished;
}

/** Runs the program in this process, for commands that start nothing: far quicker than a process each. */
export async function runHere(args: readonly string[]): Promise<Finished> {
  const written = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((name) =>
    vi.spyOn(process[name], "write").mockImplementation((text) => {
      written[name] += String(text);
      return true;
    }),
  );
  try {
    const code = await runProgram(args);
    return { code, ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

/** Waits until `condition` gives something else than undefined or false; throws with `what` after a time. */
export async function until<T>(
  what: () => string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 20_000,
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

const started = new Set<ChildProcess>();

/** Ends every process that a failed test left behind. */
export async function endAll(): Promise<void> {
  await Promise.all(
    [...started].map(async (child) => {
      const closed = once(child, "close");
      child.kill("SIGKILL");
      await closed;
    }),
  );
}
