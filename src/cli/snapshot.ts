import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { Command } from "commander";
import type { SidecarClient } from "../grpc/client.ts";
import type { SnapshotView } from "../grpc/snapshot-client.ts";
import { ByteProgress } from "./byte-progress.ts";
import { addressOption, between, wholeNumber, withCluster } from "./cluster.ts";
import { CommandError, EXIT } from "./exit.ts";
import { type Format, formatOption, print, printJson } from "./output.ts";

const CHUNK_BYTES = 1024 * 1024;

interface PutOptions {
  readonly address: string[];
  readonly output: Format;
  readonly index: number;
  readonly term: number;
  readonly format: string;
}

interface GetOptions {
  readonly address: string[];
  readonly output: Format;
  readonly format: string[];
}

export function snapshotCommand(): Command {
  return new Command("snapshot")
    .description("Stores or fetches a snapshot of the application's state.")
    .addCommand(putCommand())
    .addCommand(getCommand());
}

function putCommand(): Command {
  return new Command("put")
    .description("Stores a file as the snapshot of the application's state, on the node that is asked.")
    .argument("<file>", "the state")
    .requiredOption("--index <index>", "the last entry that the state has applied", between(1, Number.MAX_SAFE_INTEGER))
    .requiredOption("--format <name>", "how the state is encoded, 1 to 64 bytes")
    .option("--term <term>", "that entry's term, to be checked; 0 for no check", wholeNumber, 0)
    .addOption(addressOption())
    .addOption(formatOption())
    .addHelpText("after", "\nExample:\n  raft-sidecar snapshot put state.json --index 1200 --format kv-json/1")
    .action((file: string, options: PutOptions) =>
      withCluster(options.address, (client) => put(client, file, options)),
    );
}

function getCommand(): Command {
  return new Command("get")
    .description("Writes the newest snapshot that the node has to a file, once it has come whole.")
    .argument("<file>", "where to write it; a file that is there is replaced")
    .option("--format <name>", "only in this format; may be given several times", collect, [])
    .addOption(addressOption())
    .addOption(formatOption())
    .addHelpText("after", "\nExample:\n  raft-sidecar snapshot get state.json --format kv-json/1")
    .action((file: string, options: GetOptions) =>
      withCluster(options.address, (client) => get(client, file, options)),
    );
}

async function put(client: SidecarClient, file: string, { index, term, format, output }: PutOptions): Promise<void> {
  const hash = createHash("sha256");
  const progress = new ByteProgress("sent");
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      progress.add(chunk.length);
      yield chunk;
    }
  }
  try {
    const source = { chunks: chunks(), sha256: () => hash.digest() };
    const snapshot = await client.putSnapshot({ index, term, format }, source);
    progress.end();
    show(snapshot, output);
  } catch (error) {
    progress.end();
    throw fileError(error, file);
  }
}

async function get(client: SidecarClient, file: string, { format, output }: GetOptions): Promise<void> {
  const unfinished = `${file}.${process.pid}.unfinished`;
  const progress = new ByteProgress("received");
  const hash = createHash("sha256");
  let snapshot: SnapshotView | undefined;
  try {
    const target = await open(unfinished, "wx");
    try {
      for await (const part of client.getSnapshot(format)) {
        if (!(part instanceof Uint8Array)) {
          snapshot = part;
          continue;
        }
        await target.writeFile(part);
        hash.update(part);
        progress.add(part.length);
      }
      await target.sync();
    } finally {
      await target.close();
    }
    progress.end();
    if (snapshot === undefined || !hash.digest().equals(snapshot.sha256)) {
      throw new CommandError(EXIT.failed, "what came is not the snapshot: its SHA-256 differs", "Try again.");
    }
    await rename(unfinished, file);
    show(snapshot, output);
  } catch (error) {
    progress.end();
    await rm(unfinished, { force: true }).catch(() => {});
    throw fileError(error, file);
  }
}

function show({ index, term, format, size, sha256 }: SnapshotView, output: Format): void {
  const hex = Buffer.from(sha256).toString("hex");
  if (output === "json") printJson({ index, term, format, size, sha256: hex });
  else print(`entry ${index} of term ${term}, format ${JSON.stringify(format)}, ${size} bytes, SHA-256 ${hex}`);
}

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** An error of a file in the words of the command line. */
function fileError(error: unknown, file: string): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  return new CommandError(EXIT.failed, `${file}: ${error.message}`, undefined, error);
}
