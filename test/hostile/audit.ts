import { createHash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { ProposeRequestSchema, ProposeStreamRequestSchema } from "../../gen/raft/v1/log_pb.js";
import { ForwardRequestSchema } from "../../gen/raft/v1/raft_pb.js";

const MAX_COMMAND_BYTES = 2 ** 20;

/**
 * What may be in the log on account of the fuzzer. Messages that are right after all do commit, once for each time they
 * are sent at most; nothing else may.
 */
export class Audit {
  /** By digest: how often a command was sent in a message that can be read. */
  readonly #allowed = new Map<string, number>();
  #sent = 0;

  get commandsSent(): number {
    return this.#sent;
  }

  /** A command that the test itself proposes, any number of times. */
  allow(command: string): void {
    this.#allowed.set(digest(Buffer.from(command)), Number.POSITIVE_INFINITY);
  }

  /** The same, to take from for another node. */
  copy(): Audit {
    const copy = new Audit();
    for (const [key, count] of this.#allowed) copy.#allowed.set(key, count);
    return copy;
  }

  /** Takes note of a stream's bytes as they are sent. */
  note(path: string, body: Uint8Array): void {
    const read = READERS[path.slice(path.lastIndexOf("/") + 1)];
    if (read === undefined) return;
    for (const message of messagesOf(body)) this.#noteCommands(commandsOf(read, message));
  }

  /** Whether a command that is committed may be there; once for each time it was sent. */
  maybeTake(command: Uint8Array): boolean {
    const key = digest(command);
    const left = this.#allowed.get(key) ?? 0;
    if (left === 0) return false;
    this.#allowed.set(key, left - 1);
    return true;
  }

  #noteCommands(commands: readonly Uint8Array[]): void {
    for (const command of commands) {
      if (command.length === 0 || command.length > MAX_COMMAND_BYTES) continue;
      const key = digest(command);
      this.#allowed.set(key, (this.#allowed.get(key) ?? 0) + 1);
      this.#sent++;
    }
  }
}

const READERS: Readonly<Record<string, (bytes: Uint8Array) => readonly Uint8Array[]>> = {
  Propose: (bytes) => [fromBinary(ProposeRequestSchema, bytes).command],
  ProposeStream: (bytes) => fromBinary(ProposeStreamRequestSchema, bytes).items.map((item) => item.command),
  Forward: (bytes) => {
    const { request } = fromBinary(ForwardRequestSchema, bytes);
    return request.case === "proposals" ? request.value.commands : [];
  },
};

/** The messages that a stream's bytes hold, as whoever reads them finds them: prefixes that lie cut them differently. */
function messagesOf(body: Uint8Array): Uint8Array[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const messages: Uint8Array[] = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) break;
    messages.push(bytes.subarray(at + 5, end));
    at = end;
  }
  return messages;
}

function commandsOf(read: (bytes: Uint8Array) => readonly Uint8Array[], message: Uint8Array): readonly Uint8Array[] {
  try {
    return read(message);
  } catch {
    // Nobody else can read it either.
    return [];
  }
}

function digest(command: Uint8Array): string {
  return createHash("sha1").update(command).digest("base64");
}
