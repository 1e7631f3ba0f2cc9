import { decodeEntries, textOf } from "../frame/codec.ts";
import type { Message } from "../raft/message.ts";
import { type EntryId, EntryType, type Frame, type ProposalId } from "../raft/types.ts";
import { decodeSessions } from "../session/checkpoint.ts";
import { CursorTable, decodeCursors } from "../session/cursor-table.ts";
import { type SessionLimits, SessionTable } from "../session/session-table.ts";
import { decodeSubscriptionOp, faultOfSubscription, type SubscriptionOp } from "../session/subscription.ts";
import type { LogState } from "./own-state.ts";

/** Told of what the tables take in. */
export interface TakenHooks {
  readonly onId?: ((id: ProposalId, entry: EntryId) => void) | undefined;
  readonly onSubscription?: ((op: SubscriptionOp, index: number) => void) | undefined;
}

/** What the log's entries make: equal logs make equal tables. */
export class LogTables {
  readonly sessions: SessionTable;
  readonly cursors: CursorTable;

  constructor(sessions: SessionTable, cursors: CursorTable) {
    this.sessions = sessions;
    this.cursors = cursors;
  }

  /** Those of an encoded state; empty ones when there is none. Throws a RangeError when it isn't one. */
  static of(state: LogState | undefined, limits: SessionLimits): LogTables {
    if (state === undefined) return new LogTables(new SessionTable(limits), new CursorTable());
    return new LogTables(decodeSessions(state.sessions, limits), decodeCursors(state.cursors));
  }

  /** Takes in the entries that follow. */
  take(frame: Frame, hooks: TakenHooks): void {
    if (frame.type === EntryType.subscription) return this.#takeSubscription(frame, hooks);
    for (const { index, term, clientId, sequence } of decodeEntries(frame.bytes)) {
      if (sequence === 0) continue;
      const id = { clientId: textOf(clientId), sequence };
      this.sessions.add(id, { index, term });
      hooks.onId?.(id, { index, term });
    }
  }

  #takeSubscription({ bytes, first }: Frame, hooks: TakenHooks): void {
    for (const { command } of decodeEntries(bytes)) {
      const op = decodeSubscriptionOp(command);
      this.cursors.apply(op, first);
      hooks.onSubscription?.(op, first);
    }
  }
}

/** What is wrong with an entry that isn't a command, of those that a message carries. */
export function faultOfPayloads(message: Message): string | undefined {
  if (message.kind !== "appendEntries") return undefined;
  for (const { type, bytes, first } of message.frames) {
    const [entry] = type === EntryType.subscription ? decodeEntries(bytes) : [];
    const fault = entry === undefined ? undefined : faultOfSubscription(entry.command);
    if (fault !== undefined) return `entry ${first}: ${fault}`;
  }
  return undefined;
}
