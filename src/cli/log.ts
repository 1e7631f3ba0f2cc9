import { Command } from "commander";
import type { SidecarClient } from "../grpc/client.ts";
import { addressOption, wholeNumber, withCluster } from "./cluster.ts";
import { ENTRY_HEAD, printEntry } from "./entry.ts";
import { type Format, formatOption, print } from "./output.ts";

interface LogOptions {
  readonly address: string[];
  readonly output: Format;
  readonly from: number;
  readonly to: number;
}

export function logCommand(): Command {
  return new Command("log")
    .description("Reads one running node's own log, internal entries and entries not yet committed included.")
    .addOption(addressOption())
    .addOption(formatOption())
    .option("--from <index>", "first index; 0 for the first that is retained", wholeNumber, 0)
    .option("--to <index>", "last index; 0 for the last of the log", wholeNumber, 0)
    .addHelpText(
      "after",
      `
A command is shown as text when it is printable, else as base64. With -o json each line is one entry: index, term,
type, command (base64), text (when printable), clientId and sequence (when proposed with them), committed.

Examples:
  raft-sidecar log --from 100 --to 120
  raft-sidecar log --address 127.0.0.1:7430 -o json | jq -r 'select(.type == "command").text'`,
    )
    .action((options: LogOptions) => withCluster(options.address, (client) => readLog(client, options)));
}

async function readLog(client: SidecarClient, { from, to, output }: LogOptions): Promise<void> {
  if (output === "table") print(ENTRY_HEAD);
  for await (const { entries, commit } of client.readLog(from, to)) {
    for (const entry of entries) printEntry(entry, output, entry.index <= commit);
  }
}
