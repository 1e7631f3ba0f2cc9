import type { Mutant } from "../mutant.ts";

/** What is remembered of proposals with an id. */
export const sessions: readonly Mutant[] = [
  {
    name: "a-leader-appends-commands-before-its-no-op-has-committed",
    file: "src/node/sessions.ts",
    find: 'role.kind === "leader" && this.#index >= role.noOpIndex;',
    replace: 'role.kind === "leader";',
    caughtBy: ["test/node/sessions.test.ts", "test/node/trouble.test.ts"],
  },
  {
    name: "a-retry-of-an-uncommitted-proposal-is-appended",
    file: "src/node/sessions.ts",
    find: 'if (index !== undefined) return { kind: "known"',
    replace: 'if (index === 0) return { kind: "known"',
    caughtBy: ["test/node/sessions.test.ts"],
  },
  {
    name: "a-retry-of-a-committed-proposal-is-appended",
    file: "src/node/sessions.ts",
    find: "return this.#table.find(id);",
    replace: 'return { kind: "new" };',
    caughtBy: ["test/node/sessions.test.ts"],
  },
  {
    name: "what-was-lost-with-the-leadership-is-still-taken-for-appended",
    file: "src/node/sessions.ts",
    find: "    this.#appended.clear();\n",
    replace: "",
    caughtBy: ["test/node/sessions.test.ts"],
  },
  {
    name: "a-retry-is-answered-before-its-original-is-committed",
    file: "src/node/admission.ts",
    find: "else upTo = Math.max(upTo, outcome.index);",
    replace: "else if (!outcome.duplicate) upTo = Math.max(upTo, outcome.index);",
    caughtBy: ["test/node/sessions.test.ts"],
  },
  {
    name: "the-session-table-starts-without-its-checkpoint",
    file: "src/node/sessions.ts",
    find: "this.#index = sessions?.index ?? raft.log.base.index;\n    this.#checkpointIndex = this.#index;",
    replace:
      "this.#index = sessions?.index ?? raft.log.base.index;\n    this.#checkpointIndex = this.#index;\n    this.#table = new SessionTable(options.sessionLimits);",
    caughtBy: ["test/node/sessions.test.ts"],
  },
  {
    name: "a-checkpoint-claims-one-entry-more-than-it-has",
    file: "src/node/sessions.ts",
    find: "saveSessions({ index: this.#index,",
    replace: "saveSessions({ index: this.#index + 1,",
    caughtBy: ["test/node/sessions.test.ts"],
  },
  {
    name: "a-window-forgets-without-a-word",
    file: "src/session/session-table.ts",
    find: "session.forgotten = Math.max(session.forgotten, upToSequence, highest);",
    replace: "session.forgotten = Math.max(session.forgotten, highest);",
    caughtBy: ["test/session/session-table.test.ts"],
  },
  {
    name: "what-grew-old-is-taken-for-new",
    file: "src/session/session-table.ts",
    find: "session.forgotten = Math.max(session.forgotten, upToSequence, highest);",
    replace: "session.forgotten = Math.max(session.forgotten, upToSequence);",
    caughtBy: ["test/session/session-table.test.ts"],
  },
  {
    name: "an-expected-term-is-not-looked-at",
    file: "src/node/admission.ts",
    find: "if (expectedTerm !== 0 && expectedTerm !== term) return termChanged(expectedTerm, term);",
    replace: "",
    caughtBy: ["test/node/sessions.test.ts"],
  },
  {
    name: "a-batch-goes-on-after-an-error-that-should-stop-it",
    file: "src/node/admission.ts",
    find: "if (hasFailed && stopOnError) return stopped();",
    replace: "if (stopOnError && false) return stopped();",
    caughtBy: ["test/node/sessions.test.ts"],
  },
  {
    name: "a-batch-that-stops-on-an-error-travels-with-others",
    file: "src/node/proposals.ts",
    find: "if (taken > 0 && (pending.batch.stopOnError || this.#waiting[0]?.batch.stopOnError)) break;",
    replace: "",
    caughtBy: ["test/node/sessions.test.ts"],
  },
  {
    name: "what-was-appended-is-kept-beside-the-table",
    file: "src/node/sessions.ts",
    find: "if (sequences?.get(sequence) !== index) return;",
    replace: "if (sequences?.get(sequence) !== index || index > 0) return;",
    caughtBy: ["test/node/sessions.test.ts"],
  },
  {
    name: "conditions-are-lost-on-the-way-to-the-leader",
    file: "src/node/forwarding.ts",
    find: "conditions: haveConditions\n",
    replace: "conditions: haveConditions && term < 0\n",
    caughtBy: ["test/node/sessions.test.ts"],
  },
];
