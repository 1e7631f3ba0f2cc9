import { accessSync, constants } from "node:fs";
import { Command, Option } from "commander";
import type { Logger } from "pino";
import { cautions } from "../config/checks.ts";
import { loadConfig } from "../config/load.ts";
import type { ServeConfig } from "../config/options.ts";
import { createLogger } from "../log.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { exitCodeOf, report } from "./report.ts";
import { addServeOptions, type ServeFlags, sourcesOf } from "./serve-options.ts";
import { startSidecar } from "./sidecar.ts";

/** From the first signal to the end of the process, whatever hangs. Orchestrators commonly wait longer. */
const STOP_DEADLINE_MS = 4_500;

export function serveCommand(): Command {
  const command = new Command("serve").description("Runs one node: beside each copy of your service, one of these.");
  return addServeOptions(command)
    .addOption(new Option("--exit-with-parent", "end when the channel to the parent process closes").hideHelp())
    .addHelpText(
      "after",
      `
Each option can also be set by the environment (--client-address is RAFT_SIDECAR_CLIENT_ADDRESS) or in the YAML file
that --config or RAFT_SIDECAR_CONFIG names (client-address: 127.0.0.1:7420). A flag wins over the environment, that over
the file. "raft-sidecar config print --origin" takes the same options and shows what would be used.

The log is one JSON line an event on standard output; "ready" is the line that says that the listeners are up. SIGTERM
and SIGINT end the node within 5 s, unless the kernel holds a write on a disk that hangs: nothing new is taken, what is
pending is answered, streams are ended with a status.

Examples:
  raft-sidecar serve
  raft-sidecar serve --id n1 --cluster-id shop --data-dir /var/lib/raft \\
    --initial-cluster n1=10.0.0.1:7421,n2=10.0.0.2:7421,n3=10.0.0.3:7421 --peer-address 10.0.0.1:7421 --insecure
  RAFT_SIDECAR_LOG_LEVEL=debug raft-sidecar serve --config node.yaml`,
    )
    .action(runServe);
}

async function runServe(options: ServeFlags & { exitWithParent?: true }): Promise<void> {
  const { config } = loadConfig(sourcesOf(options));
  const log = createLogger(config.logLevel, config.id);
  const die = (error: unknown): never => {
    log.fatal({ err: error }, "the node can't go on");
    return exitAtOnce(exitCodeOf(error));
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
  for (const detail of cautions(config)) log.warn({ detail }, "caution");
  const stopAsked = whenAskedToStop(log, options.exitWithParent === true);
  try {
    await serveUntil(stopAsked, config, log, die);
  } catch (error) {
    process.exit(report(error));
  }
  // Not left to Node: whatever a library still holds open must not keep the process.
  process.exit(EXIT.ok);
}

async function serveUntil(
  stopAsked: Promise<void>,
  config: ServeConfig,
  log: Logger,
  die: (error: unknown) => never,
): Promise<void> {
  const sidecar = await startSidecar(config, log, die);
  log.info(
    {
      client: config.clientAddress,
      ...(config.clientSocket === "" ? {} : { socket: config.clientSocket }),
      peer: config.peerAddress,
      http: config.httpAddress,
      pid: process.pid,
    },
    "ready",
  );
  await stopAsked;
  await sidecar.stop();
  log.info("stopped");
}

/** Resolves at the first signal, or when the parent is gone. The process then ends in time; a second signal ends it now. */
function whenAskedToStop(log: Logger, exitWithParent: boolean): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const onAsked = (why: string): void => {
      if (asked) exitAtOnce(EXIT.failed);
      asked = true;
      log.info({ why }, "stopping");
      setTimeout(() => {
        log.error("not everything ended in time: does the disk hang?");
        exitAtOnce(EXIT.failed);
      }, STOP_DEADLINE_MS).unref();
      resolve();
    };
    process.on("SIGTERM", onAsked);
    process.on("SIGINT", onAsked);
    if (!exitWithParent) return;
    if (process.connected) process.once("disconnect", () => onAsked("the parent process is gone"));
    else onAsked("the parent process is gone");
  });
}

/**
 * `process.exit` waits for all threads, and the one that writes may wait for its disk. Another program in its place waits for
 * none, except for what the kernel itself holds.
 */
function exitAtOnce(code: ExitCode): never {
  // A failed execve aborts. The program's own file may be gone, after an upgrade for instance.
  const program = ["/proc/self/exe", process.execPath].find(isExecutable);
  const { NODE_OPTIONS: _, ...environment } = process.env;
  try {
    if (program !== undefined) process.execve?.(program, [program, "--eval", `process.exit(${code})`], environment);
  } catch {
    // Where there is no execve, that is the end of it.
  }
  return process.exit(code);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
