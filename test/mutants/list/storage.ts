import type { Mutant } from "../mutant.ts";

/** The data directory: what shows that it has lost something, and where its log begins. */
export const storage: readonly Mutant[] = [
  {
    name: "lost-writes-go-unnoticed",
    file: "src/storage/marked.ts",
    find: "if (found >= mark.writes) return;",
    replace: "if (found >= 0) return;",
    caughtBy: ["test/storage/mark.test.ts"],
  },
  {
    name: "a-vote-waits-for-its-mark",
    file: "src/storage/writer-worker.ts",
    find: 'if (request.kind !== "write" || request.hardState !== undefined) mark.raise(synced);',
    replace: "",
    caughtBy: ["test/storage/mark.test.ts"],
  },
  {
    name: "a-directory-without-its-mark-gets-a-new-one",
    file: "src/storage/marked.ts",
    find: "if (schema.version < MARKED_SINCE_VERSION) return",
    replace: "if (schema.version > 0) return",
    caughtBy: ["test/storage/mark.test.ts"],
  },
  {
    name: "a-torn-mark-has-no-other",
    file: "src/storage/mark.ts",
    find: "    this.#nextSlot = this.#nextSlot === 0 ? 1 : 0;\n",
    replace: "",
    caughtBy: ["test/storage/mark.test.ts"],
  },
  {
    name: "what-was-found-may-be-in-memory-only",
    file: "src/storage/writer-worker.ts",
    find: "    checkpoint(db);\n",
    replace: "",
    caughtBy: ["test/storage/mark.test.ts"],
  },
  {
    name: "a-file-that-vanishes-goes-unnoticed",
    file: "src/storage/writer-worker.ts",
    find: "        files.check();\n",
    replace: "",
    caughtBy: ["test/storage/mark.test.ts"],
  },
  {
    name: "a-log-that-is-cut-off-forgets-its-first-term",
    file: "src/storage/log-writer.ts",
    find: "    if (next !== undefined) statements.insertTermStart.run(base.index + 1, next);\n",
    replace: "",
    caughtBy: ["test/storage/compaction.test.ts"],
  },
  {
    name: "the-log-may-begin-where-no-snapshot-ends",
    file: "src/storage/snapshot-rows.ts",
    find: "if (newest < base.index) throw",
    replace: "if (newest < 0) throw",
    caughtBy: ["test/storage/compaction.test.ts"],
  },
  {
    name: "a-snapshot-leaves-the-frame-across-its-entry",
    file: "src/storage/log-writer.ts",
    find: "    this.#statements.deleteFrameAcross.run({ index: last.index });\n",
    replace: "",
    caughtBy: ["test/storage/compaction.test.ts"],
  },
  {
    name: "a-snapshot-leaves-the-terms-of-the-log-that-it-replaces",
    file: "src/storage/log-writer.ts",
    find: "    this.#statements.deleteTermStarts.run(0);\n",
    replace: "",
    caughtBy: ["test/storage/compaction.test.ts"],
  },
  {
    name: "the-frame-across-the-base-is-swept-away",
    file: "src/storage/sweeper.ts",
    find: "if (last > base || ",
    replace: "if (upTo >= base || ",
    caughtBy: ["test/storage/sweeper.test.ts"],
  },
  {
    name: "room-that-is-given-back-waits-for-a-write",
    file: "src/storage/sweeper.ts",
    find: "if (isDue && checkpoint(this.#db)) this",
    replace: "if (isDue) this",
    caughtBy: ["test/storage/sweeper.test.ts"],
  },
];
