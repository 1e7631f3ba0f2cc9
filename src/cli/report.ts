import { CommanderError } from "commander";
import { InvariantError } from "../assert.ts";
import { ConfigError } from "../config/load.ts";
import { StorageError } from "../storage/error.ts";
import { CommandError, EXIT, type ExitCode } from "./exit.ts";

/** Says on stderr what ended a command, in as many words as a person needs. Returns the exit code. */
export function report(error: unknown): ExitCode {
  if (error instanceof CommanderError) {
    // Commander has said it already. Help that was asked for ends this way, too.
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
  if (error instanceof CommandError) {
    complain(error.message);
    if (error.advice !== undefined) process.stderr.write(`${error.advice}\n`);
  } else if (error instanceof ConfigError) {
    complain(error.message);
    process.stderr.write(
      '"raft-sidecar serve --help" lists the options, "raft-sidecar config print" shows their values\n',
    );
  } else if (error instanceof StorageError) {
    complain(error.message);
  } else {
    complain(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  return exitCodeOf(error);
}

/** What nobody expected is a defect, and ends a process as a broken invariant does. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommandError) return error.exitCode;
  if (error instanceof ConfigError) return EXIT.usage;
  if (error instanceof InvariantError) return EXIT.invariant;
  if (error instanceof StorageError) {
    return error.kind === "refused" || error.kind === "inUse" ? EXIT.failed : EXIT.storage;
  }
  return EXIT.invariant;
}

function complain(message: string): void {
  process.stderr.write(`raft-sidecar: ${message}\n`);
}
