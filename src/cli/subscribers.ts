import { Command } from "commander";
import { ASK_TIMEOUT_MS, addressOption, withCluster } from "./cluster.ts";
import { type Format, formatOption, print, printJson, table } from "./output.ts";

/** A removal waits for its commit. */
const REMOVE_TIMEOUT_MS = 10_000;

interface Options {
  readonly address: string[];
  readonly output: Format;
}

export function subscribersCommand(): Command {
  return new Command("subscribers")
    .description("Lists or removes durable subscribers: names whose place in the log the cluster remembers.")
    .addCommand(listCommand())
    .addCommand(removeCommand());
}

function listCommand(): Command {
  return new Command("list")
    .description("Lists the durable subscribers, and how far each is behind.")
    .addOption(addressOption())
    .addOption(formatOption())
    .addHelpText("after", "\nExample:\n  raft-sidecar subscribers list -o json | jq '.subscribers | max_by(.lag)'")
    .action(async ({ address, output }: Options) => {
      const subscribers = await withCluster(address, (client) => client.subscribers(ASK_TIMEOUT_MS));
      if (output === "json") return printJson({ subscribers });
      const rows = subscribers.map(({ name, cursor, lag }) => [name, String(cursor), String(lag)]);
      print(table(["NAME", "CURSOR", "LAG"], rows));
    });
}

function removeCommand(): Command {
  return new Command("remove")
    .description("Forgets a durable subscriber: its stream ends, and the log keeps nothing for it any more.")
    .argument("<name>", "its name")
    .addOption(addressOption())
    .addOption(formatOption())
    .addHelpText("after", "\nExample:\n  raft-sidecar subscribers remove reports")
    .action(async (name: string, { address, output }: Options) => {
      await withCluster(address, (client) => client.removeSubscriber(name, REMOVE_TIMEOUT_MS));
      if (output === "json") printJson({ removed: name });
      else print(`removed ${name}`);
    });
}
