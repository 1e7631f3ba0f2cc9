import { Command, Option } from "commander";
import { SidecarClient } from "../grpc/client.ts";
import type { VerifiedView } from "../grpc/views.ts";
import { verifyDirectory } from "../storage/verify.ts";
import { callFailed } from "./call-error.ts";
import { ASK_TIMEOUT_MS, addressOption, wholeNumber } from "./cluster.ts";
import { CommandError, EXIT } from "./exit.ts";
import { type Format, formatOption, print, printJson, table } from "./output.ts";

interface Options {
  readonly address: string[];
  readonly output: Format;
  readonly from: number;
  readonly to: number;
  readonly dataDir?: string;
}

/** What one node, or one directory, holds. */
interface Verified extends VerifiedView {
  readonly of: string;
}

export function verifyCommand(): Command {
  return new Command("verify")
    .description(
      "Reads a node's whole log and its snapshots and checks every checksum; compares nodes with each other.",
    )
    .addOption(addressOption())
    .addOption(new Option("--data-dir <DIR>", "a directory that no node has open, instead of running nodes"))
    .option("--from <index>", "first index; 0 for the first that all have", wholeNumber, 0)
    .option("--to <index>", "last index; 0 for the last that all have committed", wholeNumber, 0)
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
Of several addresses every node is asked, for the entries that all of them have. Exit code 1 when they differ; 74 when a
directory is damaged. A running node that finds damage in itself ends.

Examples:
  raft-sidecar verify --address 127.0.0.1:7420,127.0.0.1:7430,127.0.0.1:7440
  raft-sidecar verify --data-dir /var/lib/raft -o json`,
    )
    .action(async (options: Options) => {
      const verified = options.dataDir === undefined ? await verifyNodes(options) : [await verifyStopped(options)];
      if (options.output === "json") printJson({ verified });
      else print(verifiedTable(verified));
      const digests = new Set(verified.map(({ sha256 }) => sha256));
      if (digests.size > 1) throw new CommandError(EXIT.failed, "the nodes differ in what all of them have committed");
    });
}

async function verifyStopped({ dataDir = "", from, to }: Options): Promise<Verified> {
  const { first, last, sha256, snapshots } = await verifyDirectory(dataDir, from, to);
  const snapshot = snapshots.at(-1)?.last.index ?? 0;
  return { of: dataDir, first, last, sha256: Buffer.from(sha256).toString("hex"), snapshot };
}

async function verifyNodes({ address, from, to }: Options): Promise<Verified[]> {
  const clients = address.map((each) => new SidecarClient(each));
  try {
    const states = await Promise.all(clients.map((client) => asking(client, () => client.status(ASK_TIMEOUT_MS))));
    const first = Math.max(from, ...states.map((state) => state.first));
    const last = to === 0 ? Math.min(...states.map(({ applied }) => applied)) : to;
    const verify = (client: SidecarClient): Promise<VerifiedView> =>
      asking(client, () => client.verify(first, Math.max(first, last)));
    const views = await Promise.all(clients.map(verify));
    return views.map((view, i) => ({ of: address[i] ?? "", ...view }));
  } finally {
    for (const client of clients) client.close();
  }
}

async function asking<T>(client: SidecarClient, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw callFailed(error, client.address);
  }
}

function verifiedTable(verified: readonly Verified[]): string {
  const rows = verified.map(({ of, first, last, snapshot, sha256 }) => [
    of,
    ...[first, last, snapshot].map(String),
    sha256,
  ]);
  return table(["OF", "FIRST", "LAST", "SNAPSHOT", "SHA-256 OF THE ENTRIES"], rows);
}
