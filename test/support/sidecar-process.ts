import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { until } from "./wait.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** What `make build` makes of it. */
export const BUILT_MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

/** One line of a node's log. Fields depend on the event. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string };

export interface ProcessOptions {
  /** The program; from source unless given. */
  readonly main?: string;
  /** A command that is given the program's command, such as strace with its options. */
  readonly wrapper?: readonly string[];
  /** The user that the process becomes. */
  readonly uid?: number;
}

const running = new Set<ChildProcess>();

// A worker that ends in the middle of a test leaves nothing behind.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** One run of the program. */
export class SidecarProcess {
  readonly pid: number;
  /** What it logged so far. */
  readonly lines: LogLine[] = [];
  /** Its exit code once it has ended and all its output is here; null when a signal ended it. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  #stderr = "";
  #ended = false;

  constructor(args: readonly string[], { main = MAIN, wrapper = [], uid }: ProcessOptions = {}) {
    const [command = "", ...rest] = [...wrapper, process.execPath, main, ...args];
    const child = spawn(command, rest, {
      // The channel ends with this process, and --exit-with-parent the node with the channel.
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    running.add(child);
    this.#child = child;
    this.pid = child.pid ?? 0;
    const { stdout, stderr } = child;
    if (stdout === null || stderr === null) throw new Error("a piped process has both outputs");
    createInterface(stdout).on("line", (line) => this.lines.push(JSON.parse(line)));
    stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.exited = once(child, "close").then(([code]: (number | null)[]) => {
      running.delete(child);
      this.#ended = true;
      return code ?? null;
    });
  }

  get stderr(): string {
    return this.#stderr;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The lines of one event. */
  events(event: string): LogLine[] {
    return this.lines.filter((line) => line.event === event);
  }

  signal(name: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(name);
  }

  /** Waits until its listeners are up. Throws when it ends before. */
  async ready(): Promise<void> {
    await until(
      () => `the node is up: ${this.describe()}`,
      () => this.#ended || this.events("ready").length > 0,
    );
    if (this.#ended) throw new Error(`the node ended: ${this.describe()}`);
  }

  describe(): string {
    return [this.#stderr, ...this.lines.slice(-20).map((line) => JSON.stringify(line))].join("\n");
  }
}
