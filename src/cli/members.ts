import { Command } from "commander";
import { ASK_TIMEOUT_MS, addressOption, withCluster } from "./cluster.ts";
import { type Format, formatOption, print, printJson, table } from "./output.ts";

export function membersCommand(): Command {
  return new Command("members")
    .description("Lists the cluster's members as one node knows them: addresses, and whether it is connected to them.")
    .addOption(addressOption())
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
Examples:
  raft-sidecar members
  raft-sidecar members --address 127.0.0.1:7430 -o json | jq '.members[] | select(.connected | not)'`,
    )
    .action(async (options: { address: string[]; output: Format }) => {
      const members = await withCluster(options.address, (client) => client.members(ASK_TIMEOUT_MS));
      if (options.output === "json") return printJson({ members });
      const head = ["ID", "ROLE", "PEER ADDRESS", "CLIENT ADDRESS", "CONNECTED", ""];
      const rows = members.map((it) => [
        it.id,
        it.role,
        it.peerAddress,
        it.clientAddress === "" ? "-" : it.clientAddress,
        it.connected ? "yes" : "no",
        it.error,
      ]);
      print(table(head, rows));
    });
}
