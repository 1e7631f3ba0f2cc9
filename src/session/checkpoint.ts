import { VarintReader, varintSize, writeVarint } from "../frame/varint.ts";
import { SESSION_LIMITS, type Session, SessionTable } from "./session-table.ts";
import { Window } from "./window.ts";

/**
 * A session table as bytes, equal for equal tables. All numbers are varints: how many sessions there are, then each: its
 * client id with the length before it, its numbers, and its entries with their count before them, each as the step from
 * the sequence before, the distance of its index from the latest one, and its term.
 */
export function encodeSessions(table: SessionTable): Uint8Array {
  const writer = new Writer();
  writer.number(table.size);
  for (const session of table.sessions()) writeSession(writer, session);
  return writer.finish();
}

/** Throws a RangeError when `bytes` aren't a whole table's. */
export function decodeSessions(bytes: Uint8Array, limits = SESSION_LIMITS): SessionTable {
  const reader = new VarintReader(bytes, 0, bytes.length);
  const sessions: Session[] = [];
  for (let left = reader.read(); left > 0; left--) sessions.push(readSession(reader));
  if (reader.at !== bytes.length) throw new RangeError("bytes follow the last session");
  const table = new SessionTable(limits);
  table.restore(sessions);
  return table;
}

function writeSession(writer: Writer, { clientId, last, forgotten, lastIndex, window }: Session): void {
  const id = Buffer.from(clientId);
  writer.number(id.length);
  writer.bytes(id);
  writer.number(last);
  writer.number(forgotten);
  writer.number(lastIndex);
  writer.number(window.size);
  let before = forgotten;
  for (const [sequence, index, term] of window.entries()) {
    writer.number(sequence - before);
    writer.number(lastIndex - index);
    writer.number(term);
    before = sequence;
  }
}

function readSession(reader: VarintReader): Session {
  const clientId = Buffer.from(reader.readBytes()).toString();
  const [last, forgotten, lastIndex] = [reader.read(), reader.read(), reader.read()];
  const window = new Window();
  let sequence = forgotten;
  for (let left = reader.read(); left > 0; left--) {
    sequence += reader.read();
    window.add(sequence, { index: lastIndex - reader.read(), term: reader.read() });
  }
  return { clientId, last, forgotten, lastIndex, window };
}

const FIRST_SIZE = 4_096;

/** Bytes that grow. */
class Writer {
  #buffer = new Uint8Array(FIRST_SIZE);
  #at = 0;

  number(value: number): void {
    this.#reserve(varintSize(value));
    this.#at = writeVarint(this.#buffer, this.#at, value);
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#at);
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#buffer.length) return;
    const larger = new Uint8Array(2 * (this.#at + count));
    larger.set(this.#buffer);
    this.#buffer = larger;
  }
}
