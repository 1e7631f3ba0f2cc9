import { Command, Option } from "commander";
import type { Logger } from "pino";
import { loadConfig } from "../config/load.ts";
import type { ServeConfig } from "../config/options.ts";
import { createLogger } from "../log.ts";
import { EXIT } from "./exit.ts";
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
and SIGINT end the node within 5 s: nothing new is taken, what is pending is answered, streams are ended with a status.

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
    process.exit(exitCodeOf(error));
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
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
      if (asked) process.exit(EXIT.failed);
      asked = true;
      log.info({ why }, "stopping");
      setTimeout(() => {
        log.warn("not everything ended in time");
        process.exit(EXIT.ok);
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
