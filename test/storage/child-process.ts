import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("./child.ts", import.meta.url));

/** A process that runs `child.ts`, and the lines that it has printed. */
export class StorageChild {
  readonly #process: ChildProcess;
  readonly #closed: Promise<unknown>;
  readonly lines: string[] = [];
  #errors = "";

  /** `wrapper` is a command that is given the child's command, such as strace with its options. */
  constructor(mode: string, dataDir: string, wrapper: readonly string[] = []) {
    const [command = "", ...args] = [...wrapper, process.execPath, SCRIPT, mode, dataDir];
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#process = child;
    this.#closed = once(child, "close");
    child.stderr.on("data", (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    createInterface(child.stdout).on("line", (line) => this.lines.push(line));
  }

  /** Waits until the child has printed this many lines. Throws when it ends before. */
  async untilLines(count: number): Promise<void> {
    while (this.lines.length < count) {
      if (this.#process.exitCode !== null) throw new Error(`the child ended early: ${this.#errors}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  /** Ends as if the power of this one process failed, and waits until all that it printed has arrived. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#closed;
  }

  async ended(): Promise<void> {
    await this.#closed;
  }
}
