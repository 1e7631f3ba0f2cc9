import type { Mutant } from "../mutant.ts";

/** The log, and what of it is on the disk. */
export const durability: readonly Mutant[] = [
  {
    name: "a-completion-makes-overwritten-entries-durable",
    file: "src/raft/durability.ts",
    find: "for (const turn of this.#turns) turn.claim = Math.min(turn.claim, index - 1);",
    replace: "",
    caughtBy: ["test/raft/durability.test.ts"],
  },
  {
    name: "a-completion-makes-everything-durable",
    file: "src/raft/durability.ts",
    find: "this.#durableIndex = Math.max(this.#durableIndex, oldest.claim);",
    replace: "this.#durableIndex = this.#log.lastIndex;",
    caughtBy: ["test/raft/durability.test.ts"],
  },
  {
    name: "truncated-entries-stay-durable",
    file: "src/raft/durability.ts",
    find: "this.#durableIndex = Math.min(this.#durableIndex, index - 1);",
    replace: "this.#durableIndex = Math.min(this.#durableIndex, this.#log.lastIndex + 1);",
    caughtBy: ["test/raft/durability.test.ts"],
  },
  {
    name: "of-two-cuts-the-first-is-written",
    file: "src/raft/durability.ts",
    find: "this.#truncateFrom = Math.min(this.#truncateFrom ?? index, index);",
    replace: "this.#truncateFrom ??= index;",
    caughtBy: ["test/raft/durability.test.ts"],
  },
  {
    name: "a-cut-is-not-written",
    file: "src/raft/durability.ts",
    find: "this.#truncateFrom = Math.min(this.#truncateFrom ?? index, index);",
    replace: "",
    caughtBy: ["test/raft/durability.test.ts"],
  },
  {
    name: "the-term-of-a-truncated-entry-stays",
    file: "src/raft/log.ts",
    find: "while ((this.#termStarts.at(-1)?.index ?? 0) >= index) this.#termStarts.pop();",
    replace: "while ((this.#termStarts.at(-1)?.index ?? 0) > index) this.#termStarts.pop();",
    caughtBy: ["test/raft/log.test.ts"],
  },
  {
    name: "delivery-of-what-is-not-on-the-own-disk",
    file: "src/raft/raft.ts",
    find: "Math.min(this.commitIndex, this.durability.index)",
    replace: "this.commitIndex",
    caughtBy: ["test/raft/append-entries.test.ts"],
  },
  {
    name: "a-restart-takes-its-whole-log-for-committed",
    file: "src/raft/raft.ts",
    find: "this.commitIndex = recovered.snapshot.index;",
    replace: "this.commitIndex = recovered.lastIndex;",
    caughtBy: ["test/raft/replication.test.ts", "test/raft/pipeline.test.ts"],
  },
  {
    name: "unwritten-entries-leave-memory",
    file: "src/raft/raft.ts",
    find: "this.log.evict(this.lastApplied, ",
    replace: "this.log.evict(this.log.lastIndex, ",
    caughtBy: ["test/raft/outbox.test.ts"],
  },
  {
    name: "the-search-skips-past-a-possible-match",
    file: "src/raft/log.ts",
    find: "if (start.term <= id.term) return { index, term: start.term };",
    replace: "if (start.term < id.term) return { index, term: start.term };",
    caughtBy: ["test/raft/log.test.ts"],
  },
  {
    name: "what-a-hung-disk-holds-back-has-no-bound",
    file: "src/raft/raft.ts",
    find: "if (this.#outbox.length >= MAX_HELD_BACK && !this.durability.isPersisted(afterTurn)) return;",
    replace: "",
    caughtBy: ["test/raft/outbox.test.ts"],
  },
];
