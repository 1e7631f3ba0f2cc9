import { assert } from "../../src/assert.ts";
import { decodeEntries } from "../../src/frame/codec.ts";
import { EntryType, type Frame } from "../../src/raft/types.ts";
import type { KeyValueInput, KeyValueOutput } from "./linearizability/models.ts";

export type Input = Extract<KeyValueInput, { kind: "read" | "write" | "compareAndSet" }>;

/** A value that was never written. */
export const UNSET = "";

/** One call of a client, and what became of it. */
export interface Operation {
  readonly id: number;
  readonly client: number;
  readonly input: Input;
  /** Calls and returns are numbered in the order in which they happen. */
  readonly call: number;
  /** Undefined while there is no answer, and when none ever comes. */
  return: number | undefined;
  /**
   * - `pending`: no answer yet;
   * - `acknowledged`: a write is at `index`, a read has its value;
   * - `absent`: the answer says that it is not in the log, and never will be; a read without a value;
   * - `unknown`: the answer says so, or the process that was to give it has ended.
   */
  outcome: "pending" | "acknowledged" | "absent" | "unknown";
  /** Of a write its place, of a read that of the last entry that it saw. 0 while not known. */
  index: number;
  /** Of a read what it found; of a write what it did, once its place in the log is known. */
  output: KeyValueOutput | undefined;
}

/** Reasons with which a proposal is certainly not in the log, and never will be. */
export const NOT_APPENDED: ReadonlySet<string> = new Set([
  ...["NO_LEADER", "NOT_APPENDED", "DRAINING", "OVERLOADED", "DATA_LOSS", "TERM_CHANGED", "DISK_LOW"],
]);

const ID_BYTES = 4;

/** All operations, by the number that stands in their commands. */
export class History {
  readonly operations: Operation[] = [];
  #events = 0;
  /** The operation at each index of the log that was delivered to anybody. */
  readonly #atIndex = new Map<number, Operation>();

  call(client: number, input: Input): Operation {
    const id = this.operations.length;
    const operation: Operation = {
      ...{ id, client, input, call: ++this.#events, return: undefined },
      ...{ outcome: "pending", index: 0, output: undefined },
    };
    this.operations.push(operation);
    return operation;
  }

  end(operation: Operation, outcome: Operation["outcome"]): void {
    operation.outcome = outcome;
    if (outcome === "acknowledged") operation.return = ++this.#events;
  }

  /** The command of an operation: its number, and what makes it as long as `bytes`. */
  commandOf(operation: Operation, bytes: number): Uint8Array {
    const command = Buffer.alloc(Math.max(bytes, ID_BYTES));
    command.writeUInt32LE(operation.id);
    return command;
  }

  /** The operation whose command stands at `index`. */
  at(index: number, entry: Frame): Operation {
    const known = this.#atIndex.get(index);
    if (known !== undefined) return known;
    assert(entry.type === EntryType.command, `a command stands at ${index}`);
    const command = decodeEntries(entry.bytes)[0]?.command;
    assert(command !== undefined && command.length >= ID_BYTES, `a command of ours stands at ${index}`);
    const id = Buffer.from(command.buffer, command.byteOffset, command.length).readUInt32LE();
    const operation = this.operations[id];
    assert(operation !== undefined, `operation ${id}, at ${index}, was called`);
    this.#atIndex.set(index, operation);
    return operation;
  }

  /** Operations with their places, in the order of the log. */
  committed(): [number, Operation][] {
    return [...this.#atIndex].sort(([a], [b]) => a - b);
  }
}
