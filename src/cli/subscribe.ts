import { setTimeout as sleep } from "node:timers/promises";
import { Command, Option } from "commander";
import { CallFailure } from "../grpc/call-failure.ts";
import { type ApplyFrame, type ApplyStart, SidecarClient } from "../grpc/client.ts";
import { briefly, callFailed, clusterUnreachable } from "./call-error.ts";
import { ASK_TIMEOUT_MS, addressOption, wholeNumber } from "./cluster.ts";
import { printEntry } from "./entry.ts";
import { EXIT } from "./exit.ts";
import { type Format, formatOption } from "./output.ts";

interface SubscribeOptions {
  readonly address: string[];
  readonly output: Format;
  readonly after?: number;
  readonly tail?: true;
  readonly count?: number;
}

/** How long to look for a node that answers before giving up. */
const GIVE_UP_MS = 30_000;
const PAUSE_MS = 250;

export function subscribeCommand(): Command {
  return new Command("subscribe")
    .description("Prints the committed commands in order, and goes on as they come, on another node if one goes away.")
    .addOption(addressOption())
    .addOption(formatOption())
    .addOption(new Option("--after <index>", "start after this index; 0 is the beginning").argParser(wholeNumber))
    .addOption(new Option("--tail", "start after what is committed now").conflicts("after"))
    .addOption(new Option("--count <N>", "end after this many commands").argParser(wholeNumber))
    .addHelpText(
      "after",
      `
Each line is one command: index, term, type, command. With -o json the command is base64, beside it text when it is
printable, and clientId and sequence when it was proposed with them. What happens to the connection is told on standard error.

Examples:
  raft-sidecar subscribe
  raft-sidecar subscribe --tail --address 127.0.0.1:7430
  raft-sidecar subscribe --after 120 --count 10 -o json | jq -r .text`,
    )
    .action((options: SubscribeOptions) => new Subscription(options).run());
}

/** One subscription over all its connections. */
class Subscription {
  readonly #options: SubscribeOptions;
  /** Where to go next is the first; a node that failed goes to the end. */
  #addresses: string[];
  #start: ApplyStart;
  #left: number;
  #connectedOnce = false;

  constructor(options: SubscribeOptions) {
    this.#options = options;
    this.#addresses = options.address;
    this.#left = options.count ?? Number.POSITIVE_INFINITY;
    this.#start =
      options.tail === true
        ? { kind: "tail" }
        : { kind: "after", index: options.after ?? 0, afterTerm: 0, logId: new Uint8Array() };
  }

  async run(): Promise<void> {
    process.once("SIGINT", () => process.exit(EXIT.ok));
    let failures: string[] = [];
    let lostAtMs = performance.now();
    while (this.#left > 0) {
      const [address = ""] = this.#addresses;
      const reason = await this.#follow(address);
      if (reason === undefined) return;
      if (reason.connected) {
        failures = [];
        lostAtMs = performance.now();
      }
      failures.push(`${address}: ${reason.text}`);
      const tried = failures.length % this.#addresses.length === 0;
      const over = this.#connectedOnce ? performance.now() - lostAtMs > GIVE_UP_MS : tried;
      if (tried && over) throw clusterUnreachable(failures.slice(-this.#addresses.length));
      this.#addresses = [...this.#addresses.slice(1), address];
      if (this.#connectedOnce) this.#say(address, reason.text);
      if (tried || reason.connected) await sleep(PAUSE_MS);
    }
  }

  /** Reads from one node until it fails, then says why; undefined when all that was asked for is printed. */
  async #follow(address: string): Promise<{ text: string; connected: boolean } | undefined> {
    const client = new SidecarClient(address);
    const learnMembers = this.#learner(client);
    let connected = false;
    try {
      for await (const frame of client.apply(this.#start)) {
        learnMembers();
        connected = true;
        this.#connectedOnce = true;
        this.#onFrame(frame);
        if (this.#left <= 0) return undefined;
      }
      return { text: "the stream ended", connected };
    } catch (error) {
      if (!isPassing(error)) throw callFailed(error, address);
      return { text: briefly(error), connected };
    } finally {
      client.close();
    }
  }

  #onFrame(frame: ApplyFrame): void {
    if (frame.kind === "header") {
      const index = this.#start.kind === "after" ? this.#start.index : frame.last;
      this.#start = { kind: "after", index, afterTerm: 0, logId: frame.logId, ...this.#checkedTerm() };
    } else if (frame.kind === "batch") {
      for (const entry of frame.entries.slice(0, this.#left)) printEntry(entry, this.#options.output);
      this.#left -= frame.entries.length;
      const last = frame.entries.at(-1);
      this.#moveTo(frame.last, last?.index === frame.last ? last.term : 0);
    } else {
      this.#moveTo(frame.index, 0);
    }
  }

  #checkedTerm(): { afterTerm: number } | undefined {
    return this.#start.kind === "after" ? { afterTerm: this.#start.afterTerm } : undefined;
  }

  #moveTo(index: number, afterTerm: number): void {
    if (this.#start.kind !== "after" || index <= this.#start.index) return;
    this.#start = { ...this.#start, index, afterTerm };
  }

  /**
   * To be called with each frame, so that a subscription that was given one address survives that node. Asks it one
   * question at a time until it knows every member's address: it may not have heard from all of them yet.
   */
  #learner(client: SidecarClient): () => void {
    let isOver = false;
    return async () => {
      if (isOver) return;
      isOver = true;
      isOver = await this.#maybeLearnAll(client);
    };
  }

  async #maybeLearnAll(client: SidecarClient): Promise<boolean> {
    try {
      const addresses = (await client.members(ASK_TIMEOUT_MS)).map((member) => member.clientAddress);
      const known = addresses.filter((address) => address !== "");
      this.#addresses = [...new Set([...this.#addresses, ...known])];
      return known.length === addresses.length;
    } catch {
      // What is known remains; the stream itself tells when the node is gone.
      return false;
    }
  }

  #say(address: string, reason: string): void {
    const after = this.#start.kind === "after" ? `after index ${this.#start.index}` : "at the tail";
    process.stderr.write(`${address}: ${reason}; going on at ${this.#addresses[0]} ${after}\n`);
  }
}

/** Whether another node, or the same one later, can go on where this one stopped. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof CallFailure)) return false;
  const reason = error.failure?.reason;
  if (reason === undefined) return error.unreachable || error.code === "INTERNAL" || error.code === "CANCELLED";
  return reason === "DRAINING" || reason === "NO_LEADER" || reason === "OVERLOADED" || reason === "DATA_LOSS";
}
