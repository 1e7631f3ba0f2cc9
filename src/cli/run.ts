import { Command } from "commander";
import { benchCommand } from "./bench.ts";
import { compactCommand } from "./compact.ts";
import { configCommand } from "./config.ts";
import { devCommand } from "./dev.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { logCommand } from "./log.ts";
import { membersCommand } from "./members.ts";
import { proposeCommand } from "./propose.ts";
import { report } from "./report.ts";
import { serveCommand } from "./serve.ts";
import { snapshotCommand } from "./snapshot.ts";
import { statusCommand } from "./status.ts";
import { subscribeCommand } from "./subscribe.ts";
import { subscribersCommand } from "./subscribers.ts";
import { verifyCommand } from "./verify.ts";
import { VERSION } from "./version.ts";

const EXAMPLES = `
Start here:
  raft-sidecar dev                     three nodes on this machine, to try things with
  raft-sidecar propose hello           replicate a command
  raft-sidecar subscribe -o json       every committed command, from the first on
  raft-sidecar status                  who leads, and how far each node is
  raft-sidecar bench                   how many commands a test cluster takes, and how long each waits

Exit codes: 0 well, 1 refused or failed, 2 wrong usage, 3 the cluster can't be reached, 70 a broken invariant,
74 storage failed.`;

/** Runs one command line, without the program's name. Returns the exit code; what went wrong is on stderr. */
export async function run(args: readonly string[]): Promise<ExitCode> {
  try {
    await program().parseAsync([...args], { from: "user" });
    return EXIT.ok;
  } catch (error) {
    return report(error);
  }
}

function program(): Command {
  const root = new Command("raft-sidecar")
    .description("Consensus as a sidecar: a replicated log over gRPC, for services in any language.")
    .version(VERSION)
    .addHelpText("after", EXAMPLES);
  const commands = [
    serveCommand(),
    devCommand(),
    statusCommand(),
    membersCommand(),
    logCommand(),
    proposeCommand(),
    subscribeCommand(),
    snapshotCommand(),
    subscribersCommand(),
    compactCommand(),
    verifyCommand(),
    benchCommand(),
    configCommand(),
  ];
  for (const command of commands) root.addCommand(command);
  for (const command of withDescendants(root)) {
    // Settings aren't inherited by commands that were built on their own.
    command.exitOverride().showHelpAfterError(`("${pathOf(command)} --help" explains)`);
  }
  return root;
}

function withDescendants(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withDescendants)];
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
