import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** One line of a node's log. */
export interface LogLine {
  readonly level: number;
  readonly event: string;
  /** With the event "role". */
  readonly role?: unknown;
  readonly term?: unknown;
  readonly leader?: unknown;
}

const MAX_READ_BYTES = 256 * 1024;

/** Follows a node's log file from its present end on. */
export class DevLog {
  readonly #file: string;
  #offset: number;
  #rest = "";

  constructor(file: string) {
    this.#file = file;
    this.#offset = this.#withFile((descriptor) => fstatSync(descriptor).size) ?? 0;
  }

  /** The lines that were written since the last call, at most 256 KiB of them. What is no JSON comes as an event. */
  read(): LogLine[] {
    const text = this.#withFile((descriptor) => this.#readOn(descriptor)) ?? "";
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.filter((line) => line !== "").map(parseLine);
  }

  #readOn(descriptor: number): string {
    const buffer = Buffer.alloc(MAX_READ_BYTES);
    const length = readSync(descriptor, buffer, 0, buffer.length, this.#offset);
    this.#offset += length;
    return buffer.toString("utf8", 0, length);
  }

  /** Undefined while there is no file. */
  #withFile<T>(use: (descriptor: number) => T): T | undefined {
    let descriptor: number;
    try {
      descriptor = openSync(this.#file, "r");
    } catch {
      return undefined;
    }
    try {
      return use(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }
}

function parseLine(line: string): LogLine {
  try {
    const value: unknown = JSON.parse(line);
    if (value !== null && typeof value === "object" && "level" in value && "event" in value) return value as LogLine;
  } catch {
    // A crash of Node itself, or a message from before the log is set up.
  }
  return { level: 50, event: line };
}
