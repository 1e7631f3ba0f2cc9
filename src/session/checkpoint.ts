import { textOf } from "../frame/codec.ts";
import { VarintReader, varintSize, writeVarint } from "../frame/varint.ts";
import { SESSION_LIMITS, type Session, SessionTable } from "./session-table.ts";
import { Window } from "./window.ts";

/**
 * Makes bytes of a session table as it is now, bit by bit while it goes on changing: of a session that is about to change a
 * copy is kept. All numbers are varints: how many sessions there are, then each, in any order: its client id with the
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
      if (this.#left.delete(session)) this.#left.add({ ...session, window: session.window.copy() });
    };
  }

  /**
   * Writes sessions, whole ones, until they have so many entries, counting a session as one more. The bytes, once all are
   * written.
   */
  write(minEntries: number): Uint8Array<ArrayBuffer> | undefined {
    let written = 0;
    for (const session of this.#left) {
      if (written >= minEntries) return undefined;
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
  if (!areDistinct(sessions, "clientId") || !areDistinct(sessions, "lastIndex")) {
    throw new RangeError("two sessions are of one client, or end with one entry");
  }
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
    const [step, distance, term] = [reader.read(), reader.read(), reader.read()];
    sequence += step;
    if (step === 0 || sequence > last || distance >= lastIndex) {
      throw new RangeError(`sequence ${sequence} of ${clientId} is out of range`);
    }
    window.add(sequence, { index: lastIndex - distance, term });
  }
  return { clientId, last, forgotten, lastIndex, window };
}

function areDistinct(sessions: readonly Session[], field: "clientId" | "lastIndex"): boolean {
  return new Set(sessions.map((session) => session[field])).size === sessions.length;
}

const CHUNK_BYTES = 64 * 1024;

/** Bytes that grow. */
class Writer {
  readonly #full: Buffer[] = [];
  #chunk = Buffer.alloc(CHUNK_BYTES);
  #at = 0;

  number(value: number): void {
    this.#reserve(varintSize(value));
    this.#at = writeVarint(this.#chunk, this.#at, value);
  }

  text(text: string): void {
    const length = Buffer.byteLength(text);
    this.number(length);
    this.#reserve(length);
    this.#chunk.write(text, this.#at);
    this.#at += length;
  }

  /** In a buffer of their own. */
  finish(): Uint8Array<ArrayBuffer> {
    this.#close();
    const bytes = new Uint8Array(this.#full.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const chunk of this.#full) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    return bytes;
  }

  /** No number and no client id is larger than a chunk. */
  #reserve(count: number): void {
    if (this.#at + count > CHUNK_BYTES) this.#close();
  }

  #close(): void {
    this.#full.push(this.#chunk.subarray(0, this.#at));
    this.#chunk = Buffer.alloc(CHUNK_BYTES);
    this.#at = 0;
  }
}
