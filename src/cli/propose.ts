import { readFile } from "node:fs/promises";
import { buffer } from "node:stream/consumers";
import { Command, Option } from "commander";
import type { ProposalId } from "../raft/types.ts";
import { addressOption, wholeNumber, withCluster } from "./cluster.ts";
import { CommandError, EXIT } from "./exit.ts";
import { type Format, formatOption, print, printJson } from "./output.ts";

interface ProposeOptions {
  readonly address: string[];
  readonly output: Format;
  readonly file?: string;
  readonly base64?: true;
  readonly clientId?: string;
  readonly sequence?: number;
  readonly expectedTerm: number;
  readonly timeoutMs: number;
}

export function proposeCommand(): Command {
  return new Command("propose")
    .description("Replicates one command, and answers where it was committed. Any node takes it.")
    .argument("[text]", "the command; without it and without --file, standard input is read")
    .addOption(new Option("--file <path>", "take the command from a file, byte for byte"))
    .option("--base64", "the text is base64, for a command that is no text")
    .option("--client-id <id>", "with --sequence: what makes a retry of this very command safe; at most 64 bytes")
    .option("--sequence <N>", "number of this command among those of the client id, from 1", wholeNumber)
    .option("--expected-term <N>", "append in this term only; 0 for any", wholeNumber, 0)
    .option("--timeout-ms <N>", "longest wait for the answer", wholeNumber, 10_000)
    .addOption(addressOption())
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
The answer comes when the command is committed: durable on a majority of the voters. After OUTCOME_UNKNOWN, or an error
without a reason of ours, the command may or may not be in the log. With --client-id and --sequence say it again, word for
word: what is in the log isn't appended twice, and the answer is that of the first time, marked as a duplicate.

Examples:
  raft-sidecar propose "set x 1"
  raft-sidecar propose --base64 AAEC --address 127.0.0.1:7430
  raft-sidecar propose "add 100" --client-id migration-7 --sequence 1
  head -c 1000 /dev/urandom | raft-sidecar propose -o json | jq .index`,
    )
    .action(async (text: string | undefined, options: ProposeOptions) => {
      const command = await commandBytes(text, options);
      const { expectedTerm, timeoutMs } = options;
      const proposal = { command, id: idOf(options), expectedTerm };
      const answer = await withCluster(options.address, (client) => client.propose(proposal, timeoutMs));
      const { index, term, duplicate } = answer;
      if (options.output === "json") printJson({ index, term, duplicate });
      else print(`committed at index ${index}, term ${term}${duplicate ? ", by an earlier try" : ""}`);
    });
}

function idOf({ clientId, sequence }: ProposeOptions): ProposalId | undefined {
  if (clientId === undefined && sequence === undefined) return undefined;
  if (clientId === undefined || sequence === undefined) {
    throw new CommandError(EXIT.usage, "give --client-id and --sequence together, or neither");
  }
  return { clientId, sequence };
}

async function commandBytes(text: string | undefined, { file, base64 }: ProposeOptions): Promise<Uint8Array> {
  if (text !== undefined && file !== undefined) {
    throw new CommandError(EXIT.usage, "give the command as text or with --file, not both");
  }
  const bytes = text === undefined ? await readInput(file) : Buffer.from(text);
  const command = base64 === true ? decodeBase64(bytes.toString().trim()) : bytes;
  if (command.length === 0) throw new CommandError(EXIT.usage, "the command is empty; it needs at least one byte");
  return command;
}

async function readInput(file: string | undefined): Promise<Buffer> {
  if (file === undefined) return buffer(process.stdin);
  try {
    return await readFile(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(EXIT.failed, `--file can't be read: ${reason}`);
  }
}

/** Node's own decoder skips what is no base64; a damaged command must not be replicated. */
function decodeBase64(text: string): Buffer {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) {
    throw new CommandError(EXIT.usage, "--base64: the command must be padded base64, such as aGVsbG8=");
  }
  return Buffer.from(text, "base64");
}
