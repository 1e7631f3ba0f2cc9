import type { Mutant } from "../mutant.ts";

/** The data directory: what shows that it has lost something. */
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
];
