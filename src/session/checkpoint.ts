import { textOf } from "../frame/codec.ts";
import { VarintReader, varintSize, writeVarint } from "../frame/varint.ts";
import { SESSION_LIMITS, type Session, SessionTable } from "./session-table.ts";
import { Window } from "./window.ts";

/**
 * Makes bytes of a session table as it is now, bit by bit while it goes on changing: a session that is about to change is
 * written before. All numbers are varints: how many sessions there are, then each, in any order: its client id with the
 * length before it, its numbers, and its entries with their count before them, each as the step from the sequence
 * before, the distance of its index from the latest one, and its term.
 */
export class SessionsEncoder {
  readonly #table: SessionTable;
  readonly #writer = new Writer();
  readonly #left: Set<Session>;

  /** A table has one encoder at a time. */
  constructor(table: SessionTable) {
    this.#table = table;
    this.#left = new Set(table.sessions());
    this.#writer.number(this.#left.size);
    table.onChange = (session) => {
      if (this.#left.delete(session)) writeSession(this.#writer, session);
    };
  }

  /** Writes sessions until they are so large, counting one as much as an entry. The bytes, once all are written. */
  write(maxEntries: number): Uint8Array | undefined {
    let written = 0;
    for (const session of this.#left) {
      if (written >= maxEntries) return undefined;
      this.#left.delete(session);
      writeSession(this.#writer, session);
      written += 1 + session.window.size;
    }
    this.#table.onChange = () => {};
    return this.#writer.finish();
  }
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
  writer.text(clientId);
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
  const clientId = textOf(reader.readBytes());
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
  #buffer = Buffer.alloc(FIRST_SIZE);
  #at = 0;

  number(value: number): void {
    this.#reserve(varintSize(value));
    this.#at = writeVarint(this.#buffer, this.#at, value);
  }

  text(text: string): void {
    const length = Buffer.byteLength(text);
    this.number(length);
    this.#reserve(length);
    this.#buffer.write(text, this.#at);
    this.#at += length;
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#buffer.subarray(0, this.#at));
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#buffer.length) return;
    const larger = Buffer.alloc(2 * (this.#at + count));
    larger.set(this.#buffer);
    this.#buffer = larger;
  }
}
