import { Failure } from "../failure.ts";
import type { EntryId, ProposalId, ProposalIds } from "../raft/types.ts";
import { type CommandOutcome, type Conditions, NO_CONDITIONS, type ProposalBatch, type ProposalResult } from "./api.ts";
import { sequenceTooOld, stopped, termChanged } from "./failures.ts";
import type { Sessions } from "./sessions.ts";

/** What a leader needs to know to take proposals in. */
export interface Leadership {
  readonly term: number;
  /** Of its log. */
  readonly lastIndex: number;
  readonly sessions: Pick<Sessions, "find" | "onAppend">;
  /** Why nothing is appended; undefined when it is. A retry of what the log holds already is answered all the same. */
  readonly refusal: Failure | undefined;
}

/** What becomes of batches at the leader. */
export interface Admission {
  /** To be appended, in one step. */
  readonly commands: readonly Uint8Array[];
  readonly ids: ProposalIds | undefined;
  /** For each batch its result, which holds once the log is committed up to `upTo`: 0 for at once. */
  readonly results: readonly { readonly result: ProposalResult; readonly upTo: number }[];
}

/** Decides which commands are appended, and marks them as appended: the caller has to append them next. */
export function admit(batches: readonly ProposalBatch[], leadership: Leadership): Admission {
  if (batches.every(({ conditions }) => conditions === undefined)) return admitAll(batches, leadership);
  const admitting = new Admitting(leadership);
  const results = batches.map((batch) => admitting.admit(batch));
  return { commands: admitting.commands, ids: admitting.ids, results };
}

/** Of commands without conditions every one is appended, or none. */
function admitAll(batches: readonly ProposalBatch[], { term, lastIndex, refusal }: Leadership): Admission {
  if (refusal !== undefined) {
    const result = { kind: "failed", failure: refusal } as const;
    return { commands: [], ids: undefined, results: batches.map(() => ({ result, upTo: 0 })) };
  }
  let last = lastIndex;
  const results = batches.map(({ commands }) => {
    const first = { index: last + 1, term };
    last += commands.length;
    return { result: { kind: "committed" as const, first }, upTo: last };
  });
  return { commands: batches.flatMap(({ commands }) => commands), ids: undefined, results };
}

class Admitting {
  readonly #leadership: Leadership;
  readonly commands: Uint8Array[] = [];
  readonly ids: (ProposalId | undefined)[] = [];

  constructor(leadership: Leadership) {
    this.#leadership = leadership;
  }

  admit({ commands, conditions, stopOnError }: ProposalBatch): Admission["results"][number] {
    let hasFailed = false;
    let upTo = 0;
    const outcomes = commands.map((command, i): CommandOutcome => {
      if (hasFailed && stopOnError) return stopped();
      const outcome = this.#outcomeOf(command, conditions?.[i] ?? NO_CONDITIONS);
      if (outcome instanceof Failure) hasFailed = true;
      else upTo = Math.max(upTo, outcome.index);
      return outcome;
    });
    return { result: { kind: "each", outcomes }, upTo };
  }

  #outcomeOf(command: Uint8Array, { id, expectedTerm }: Conditions): CommandOutcome {
    const { term, refusal } = this.#leadership;
    const found = id === undefined ? undefined : this.#leadership.sessions.find(id);
    // An answered retry is as good in any term.
    if (found?.kind === "known") return { ...found.id, duplicate: true };
    if (found?.kind === "tooOld" && id !== undefined) return sequenceTooOld(id, found.above);
    if (expectedTerm !== 0 && expectedTerm !== term) return termChanged(expectedTerm, term);
    return refusal ?? { ...this.#append(command, id), duplicate: false };
  }

  #append(command: Uint8Array, id: ProposalId | undefined): EntryId {
    this.commands.push(command);
    this.ids.push(id);
    const index = this.#leadership.lastIndex + this.commands.length;
    if (id !== undefined) this.#leadership.sessions.onAppend(id, index);
    return { index, term: this.#leadership.term };
  }
}
