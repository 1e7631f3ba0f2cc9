import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { prepareDirectory } from "../storage/directory.ts";
import { DevLog } from "./dev-log.ts";
import { ENTRY } from "./entry-point.ts";
import { youngGenerationFlags } from "./young-generation.ts";

/** Where one node of `dev` listens and what it is called. */
export interface DevPlace {
  readonly id: string;
  readonly directory: string;
  readonly clientAddress: string;
  readonly peerAddress: string;
  readonly httpAddress: string;
}

export type DevExit = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

/** A node drains within 5 s; after this it hangs. */
const STOP_TIMEOUT_MS = 6_000;

/** One node of `dev`: a process of `serve`, its pid file and its log file. */
export class DevNode {
  readonly place: DevPlace;
  readonly log: DevLog;
  readonly #initialCluster: string;
  #child: ChildProcess | undefined;

  /** Makes the node's directory. Throws a StorageError when it can't be made. */
  constructor(place: DevPlace, initialCluster: string) {
    this.place = place;
    this.#initialCluster = initialCluster;
    prepareDirectory(place.directory);
    this.log = new DevLog(logFile(place));
  }

  /** Undefined while the process is not running. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process, which must not be running. `onExit` is called once, when it has ended for whatever reason. */
  start(onExit: (exit: DevExit) => void): void {
    const log = openSync(logFile(this.place), "a");
    const child = spawn(
      process.execPath,
      [...process.execArgv, ...youngGenerationFlags(), ENTRY, ...this.#serveArguments()],
      {
        // A process group of its own: Ctrl-C reaches this process alone, which then ends the nodes once and in order.
        detached: true,
        // The channel is a lifeline: when this process dies, however it dies, the node sees it close and ends.
        stdio: ["ignore", log, log, "ipc"],
        env: withoutOurs(process.env),
      },
    );
    closeSync(log);
    this.#child = child;
    if (child.pid !== undefined) writeFileSync(pidFile(this.place), `${child.pid}\n`);
    let ended = false;
    const onEnd = (exit: DevExit): void => {
      if (ended) return;
      ended = true;
      this.#child = undefined;
      rmSync(pidFile(this.place), { force: true });
      onExit(exit);
    };
    child.once("exit", (code, signal) => onEnd({ code, signal }));
    child.once("error", () => onEnd({ code: 1, signal: null }));
  }

  /** Asks the process to end, and makes it end when it doesn't. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.kill("SIGTERM");
    const hung = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(hung);
  }

  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  #serveArguments(): string[] {
    const { id, directory, clientAddress, peerAddress, httpAddress } = this.place;
    return [
      ...["serve", "--exit-with-parent", "--id", id, "--data-dir", directory, "--cluster-id", "dev"],
      ...["--client-address", clientAddress, "--peer-address", peerAddress, "--http-address", httpAddress],
      ...["--initial-cluster", this.#initialCluster],
    ];
  }
}

export function pidFile(place: DevPlace): string {
  return join(place.directory, "pid");
}

export function logFile(place: DevPlace): string {
  return join(place.directory, "log");
}

/**
 * The process that a former run left behind for this node; undefined when there is none. Where the system tells, a
 * process that merely got the same number isn't mistaken for it.
 */
export function runningPid(place: DevPlace): number | undefined {
  let pid: number;
  try {
    pid = Number(readFileSync(pidFile(place), "utf8"));
    if (!Number.isInteger(pid) || pid < 1) return undefined;
    process.kill(pid, 0);
  } catch {
    return undefined;
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--exit-with-parent") ? pid : undefined;
  } catch {
    return pid;
  }
}

/** The nodes run with exactly the options given here. */
function withoutOurs(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("RAFT_SIDECAR_")));
}
