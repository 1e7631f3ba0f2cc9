import { Command } from "commander";
import { ASK_TIMEOUT_MS, addressOption, wholeNumber, withCluster } from "./cluster.ts";
import { type Format, formatOption, print, printJson } from "./output.ts";

interface CompactOptions {
  readonly address: string[];
  readonly output: Format;
  readonly keepEntries?: number;
}

export function compactCommand(): Command {
  return new Command("compact")
    .description("Cuts off one node's log up to its newest snapshot, as far as nobody needs what is before.")
    .option(
      "--keep-entries <N>",
      "entries to keep before the snapshot; as the node is configured if absent",
      wholeNumber,
    )
    .addOption(addressOption())
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
A node does this by itself whenever it has a new snapshot. A follower that lacks more than what is kept gets the whole
snapshot instead of entries.

Example:
  raft-sidecar compact --keep-entries 100`,
    )
    .action(async ({ address, output, keepEntries }: CompactOptions) => {
      const first = await withCluster(address, (client) => client.compact(keepEntries, ASK_TIMEOUT_MS));
      if (output === "json") printJson({ first });
      else print(`the log begins at entry ${first}`);
    });
}
