import { assert } from "../../src/assert.ts";
import { decodeEntries, textOf } from "../../src/frame/codec.ts";
import type { Frame } from "../../src/raft/types.ts";
import { decodeSessions } from "../../src/session/checkpoint.ts";
import { type SessionLimits, SessionTable } from "../../src/session/session-table.ts";
import type { SessionCheckpoint } from "../../src/storage/storage.ts";
import { encodeSessions } from "../session/support.ts";

/**
 * The session table that the committed log makes. What any node checkpoints is held against it: the table is a function
 * of the log, through restarts, truncations and checkpoints (PITFALL 44).
 */
export class SessionModel {
  readonly #limits: SessionLimits;
  readonly #entryAt: (index: number) => Frame | undefined;
  /** Tables that were compared, by index: a later one starts at the next before it. */
  readonly #known = new Map<number, Uint8Array>();

  constructor(limits: SessionLimits, entryAt: (index: number) => Frame | undefined) {
    this.#limits = limits;
    this.#entryAt = entryAt;
    this.#known.set(0, encodeSessions(new SessionTable(limits)));
  }

  onCheckpoint({ index, bytes }: SessionCheckpoint): void {
    const expected = this.#tableAt(index);
    // Made while the table went on changing, it has its sessions in another order.
    const given = encodeSessions(decodeSessions(bytes, this.#limits));
    assert(Buffer.compare(expected, given) === 0, `a checkpoint at ${index} has not the sessions of the log`);
  }

  #tableAt(index: number): Uint8Array {
    const known = this.#known.get(index);
    if (known !== undefined) return known;
    const from = Math.max(...[...this.#known.keys()].filter((each) => each < index));
    const table = decodeSessions(this.#known.get(from) ?? new Uint8Array(0), this.#limits);
    for (let i = from + 1; i <= index; i++) this.#add(table, i);
    const bytes = encodeSessions(table);
    this.#known.set(index, bytes);
    return bytes;
  }

  #add(table: SessionTable, index: number): void {
    const frame = this.#entryAt(index);
    assert(frame !== undefined, `a checkpoint holds entry ${index}, which no service was given`);
    for (const { term, clientId, sequence } of decodeEntries(frame.bytes)) {
      if (sequence > 0) table.add({ clientId: textOf(clientId), sequence }, { index, term });
    }
  }
}
