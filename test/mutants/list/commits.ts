import type { Mutant } from "../mutant.ts";

/** Quorums, commits and reads. */
export const commits: readonly Mutant[] = [
  {
    name: "an-entry-of-an-earlier-term-commits-by-counting",
    file: "src/raft/replication.ts",
    find: "if (onQuorum > raft.commitIndex && raft.log.termAt(onQuorum) === raft.currentTerm)",
    replace: "if (onQuorum > raft.commitIndex)",
    caughtBy: ["test/raft/replication.test.ts", "test/raft/pipeline.test.ts"],
  },
  {
    name: "a-leader-counts-its-own-disk-too-early",
    file: "src/raft/replication.ts",
    find: "id === raft.id ? raft.durability.index :",
    replace: "id === raft.id ? raft.log.lastIndex :",
    caughtBy: ["test/raft/durability.test.ts"],
  },
  {
    name: "a-leader-appends-no-entry-of-its-own-term",
    file: "src/raft/replication.ts",
    find: "else appendAsLeader(raft, EntryType.noOp, [new Uint8Array(0)]);",
    replace: "",
    caughtBy: ["test/raft/replication.test.ts", "test/raft/pipeline.test.ts"],
  },
  {
    name: "half-is-a-majority",
    file: "src/raft/quorum.ts",
    find: "> Math.floor(voters.length / 2)",
    replace: ">= voters.length / 2",
    caughtBy: ["test/raft/quorum.test.ts"],
  },
  {
    name: "half-of-an-even-number-commits",
    file: "src/raft/quorum.ts",
    find: "ascending[Math.floor((ascending.length - 1) / 2)]",
    replace: "ascending[Math.floor(ascending.length / 2)]",
    caughtBy: ["test/raft/quorum.test.ts"],
  },
  {
    name: "matches-are-sorted-as-text",
    file: "src/raft/quorum.ts",
    find: ".sort((a, b) => a - b)",
    replace: ".sort()",
    caughtBy: ["test/raft/quorum.test.ts"],
  },
  {
    name: "a-joint-configuration-elects-by-one-majority",
    file: "src/raft/quorum.ts",
    find: "    isMajority(configuration.voters, has) &&\n    (configuration.outgoing.length === 0 || isMajority(configuration.outgoing, has))",
    replace: "    isMajority(configuration.voters, has)",
    caughtBy: ["test/raft/quorum.test.ts"],
  },
  {
    name: "a-joint-configuration-commits-by-one-majority",
    file: "src/raft/quorum.ts",
    find: "return configuration.outgoing.length === 0 ? value : Math.min(value, majorityValue(configuration.outgoing, reached));",
    replace: "return value;",
    caughtBy: ["test/raft/quorum.test.ts"],
  },
  {
    name: "a-read-is-answered-before-a-quorum",
    file: "src/raft/read-index.ts",
    find: "read !== undefined && read.sequence <= acked;",
    replace: "read !== undefined && acked >= 0;",
    caughtBy: ["test/raft/read-index.test.ts"],
  },
  {
    name: "an-earlier-heartbeat-serves-a-read",
    file: "src/raft/read-index.ts",
    find: "sequence: role.sequence + 1,",
    replace: "sequence: role.sequence,",
    caughtBy: ["test/raft/read-index.test.ts"],
  },
  {
    name: "a-read-before-the-term-s-first-commit",
    file: "src/raft/read-index.ts",
    find: "if (reads.waiting.length > 0 && raft.commitIndex >= role.noOpIndex) {",
    replace: "if (reads.waiting.length > 0) {",
    caughtBy: ["test/raft/read-index.test.ts"],
  },
  {
    name: "a-read-is-forgotten-at-a-step-down",
    file: "src/raft/follower.ts",
    find: 'if (raft.role.kind === "leader") failReads(raft, raft.role);',
    replace: "",
    caughtBy: ["test/raft/read-index.test.ts"],
  },
];
