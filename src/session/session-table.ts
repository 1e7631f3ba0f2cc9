import { assert } from "../assert.ts";
import type { EntryId, ProposalId } from "../raft/types.ts";
import { Window } from "./window.ts";

/**
 * How much is remembered. Equal on all nodes, because the table must be: these are constants of the log's meaning, not
 * options.
 */
export const SESSION_LIMITS: SessionLimits = { window: 1_024, entries: 1_048_576, clients: 65_536 };

export interface SessionLimits {
  /** Of each client its latest sequences, so many numbers wide. */
  readonly window: number;
  /**
   * Entries, for so many further indexes. As much again may pass before one is forgotten whose client is silent, so of
   * all clients together there are at most twice as many.
   */
  readonly entries: number;
  /** Clients; beyond it the one is forgotten whose latest entry is the oldest. */
  readonly clients: number;
}

/** What is known of a proposal: whether the log holds it. */
export type Found =
  | { readonly kind: "new" }
  | { readonly kind: "known"; readonly id: EntryId }
  /** It is no longer known whether it was appended. Of sequences above `above` it is. */
  | { readonly kind: "tooOld"; readonly above: number };

/** One client, with the entries that are remembered of it. */
export interface Session {
  readonly clientId: string;
  /** The highest sequence. */
  last: number;
  /** No sequence up to here is remembered. */
  forgotten: number;
  /** Index of the latest entry. */
  lastIndex: number;
  readonly window: Window;
}

/** Clients that one entry puts to rest, at most: more than one, so that none are left in the end. */
const MAX_RESTS = 2;

interface Listed extends Session {
  older: Listed | undefined;
  newer: Listed | undefined;
}

/**
 * Which proposals the log holds, so that a retry is not appended a second time (thesis 6.3). A function of the entries
 * that were added, which are those of a log in its order: equal logs make equal tables.
 */
export class SessionTable {
  readonly #limits: SessionLimits;
  readonly #byClientId = new Map<string, Listed>();
  /** All sessions are in a list, in the order of their latest entries. */
  #oldest: Listed | undefined;
  #newest: Listed | undefined;
  /** Of those before it no entry is remembered. */
  #oldestActive: Listed | undefined;
  /** Called before a session changes. */
  onChange: (session: Session) => void = () => {};

  constructor(limits = SESSION_LIMITS) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#byClientId.size;
  }

  /** In the order of their latest entries. */
  *sessions(): Iterable<Session> {
    for (let session = this.#oldest; session !== undefined; session = session.newer) yield session;
  }

  /** The entry at `index` was proposed with this id. */
  add({ clientId, sequence }: ProposalId, { index, term }: EntryId): void {
    assert(index > (this.#newest?.lastIndex ?? 0), `entry ${index} is added to the sessions after a later one`);
    const session = this.#byClientId.get(clientId) ?? newSession(clientId);
    this.onChange(session);
    this.#unlink(session);
    session.lastIndex = index;
    session.last = Math.max(session.last, sequence);
    if (sequence > session.forgotten) session.window.add(sequence, { index, term });
    this.#forget(session, session.last - this.#limits.window);
    this.#append(session);
    this.#putToRest();
    if (this.size > this.#limits.clients && this.#oldest !== undefined) this.#drop(this.#oldest);
  }

  find({ clientId, sequence }: ProposalId): Found {
    const session = this.#byClientId.get(clientId);
    if (session === undefined) return { kind: "new" };
    if (sequence <= session.forgotten) return { kind: "tooOld", above: session.forgotten };
    const id = session.window.find(sequence);
    return id === undefined ? { kind: "new" } : { kind: "known", id };
  }

  /** Puts sessions back that `sessions` gave, in any order. */
  restore(sessions: readonly Session[]): void {
    for (const session of sessions.toSorted((a, b) => a.lastIndex - b.lastIndex)) {
      this.#append({ ...session, older: undefined, newer: undefined });
    }
  }

  #forget(session: Session, upToSequence: number): void {
    const highest = session.window.forget(upToSequence, session.lastIndex - this.#limits.entries);
    session.forgotten = Math.max(session.forgotten, upToSequence, highest);
  }

  /** Forgets all entries of the oldest ones whose latest one is too old. */
  #putToRest(): void {
    const upTo = (this.#newest?.lastIndex ?? 0) - this.#limits.entries;
    let left = MAX_RESTS;
    for (let session = this.#oldestActive; session !== undefined; session = session.newer) {
      this.#oldestActive = session;
      if (session.lastIndex > upTo) return;
      if (session.window.size === 0) continue;
      if (left-- === 0) return;
      this.onChange(session);
      this.#forget(session, session.last);
    }
  }

  #append(session: Listed): void {
    this.#byClientId.set(session.clientId, session);
    session.older = this.#newest;
    if (this.#newest !== undefined) this.#newest.newer = session;
    this.#newest = session;
    this.#oldest ??= session;
    this.#oldestActive ??= session;
  }

  #unlink(session: Listed): void {
    if (this.#oldest === session) this.#oldest = session.newer;
    if (this.#oldestActive === session) this.#oldestActive = session.newer;
    if (this.#newest === session) this.#newest = session.older;
    if (session.older !== undefined) session.older.newer = session.newer;
    if (session.newer !== undefined) session.newer.older = session.older;
    session.older = undefined;
    session.newer = undefined;
  }

  #drop(session: Listed): void {
    this.#unlink(session);
    this.#byClientId.delete(session.clientId);
  }
}

function newSession(clientId: string): Listed {
  const numbers = { last: 0, forgotten: 0, lastIndex: 0 };
  return { clientId, ...numbers, window: new Window(), older: undefined, newer: undefined };
}
