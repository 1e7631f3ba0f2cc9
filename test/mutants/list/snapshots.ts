import type { Mutant } from "../mutant.ts";

/** The application's snapshots: what they stand for, and when they count. */
export const snapshots: readonly Mutant[] = [
  {
    name: "a-snapshot-of-what-is-not-committed-is-taken",
    file: "src/node/snapshots.ts",
    find: "if (index > applied) {",
    replace: "if (index > applied + 10_000) {",
    caughtBy: ["test/grpc/snapshots.test.ts"],
  },
  {
    name: "a-snapshot-of-another-term-is-taken",
    file: "src/node/snapshots.ts",
    find: "if (term !== 0 && term !== found) {",
    replace: "if (term !== 0 && term < found) {",
    caughtBy: ["test/grpc/snapshots.test.ts"],
  },
  {
    name: "of-two-snapshots-that-race-both-are-taken",
    file: "src/node/snapshots.ts",
    find: "      this.#refuseOutdated(snapshot.last.index);\n",
    replace: "",
    caughtBy: ["test/grpc/snapshots.test.ts"],
  },
  {
    name: "a-snapshot-need-not-be-what-was-sent",
    file: "src/node/snapshots.ts",
    find: "if (!Buffer.from(found).equals(sha256)) {",
    replace: "if (found.length !== sha256.length) {",
    caughtBy: ["test/grpc/snapshots.test.ts"],
  },
  {
    name: "an-upload-that-failed-goes-on-counting",
    file: "src/node/snapshots.ts",
    find: "    await this.#writer.discard().catch(() => {});\n    this.#snapshots.onUploadEnded();\n",
    replace: "    await this.#writer.discard().catch(() => {});\n",
    caughtBy: ["test/grpc/snapshots.test.ts"],
  },
  {
    name: "a-snapshot-may-end-without-its-checksum",
    file: "src/grpc/put-snapshot.ts",
    find: "if (this.#upload === undefined || this.#sha256 === undefined) {",
    replace:
      "if (this.#upload === undefined) return;\n    if (this.#sha256 === undefined) {\n      this.#sha256 = new Uint8Array(32);\n    } else if (this.#hasEnded) {",
    caughtBy: ["test/grpc/snapshots.test.ts"],
  },
  {
    name: "what-an-upload-left-stays",
    file: "src/grpc/put-snapshot.ts",
    find: "await upload?.discard();",
    replace: "await upload;",
    caughtBy: ["test/grpc/snapshots.test.ts"],
  },
  {
    name: "a-snapshot-is-handed-out-unchecked",
    file: "src/storage/snapshot-files.ts",
    find: 'if (bytesRead === 0 && !this.#hash.digest().equals(sha256)) throw damaged(this.#path, "its SHA-256 differs");',
    replace: "",
    caughtBy: ["test/storage/snapshots.test.ts"],
  },
  {
    name: "a-snapshot-that-is-missing-goes-unnoticed",
    file: "src/storage/snapshot-files.ts",
    find: "if (found === size) return;",
    replace: "if (found === size || found === undefined) return;",
    caughtBy: ["test/storage/snapshots.test.ts"],
  },
  {
    name: "what-a-crash-left-of-snapshots-stays",
    file: "src/storage/snapshot-files.ts",
    find: "if (!known.has(name)) await rm(",
    replace: 'if (name === "nothing") await rm(',
    caughtBy: ["test/storage/snapshots.test.ts"],
  },
  {
    name: "only-the-newest-snapshot-is-kept",
    file: "src/storage/snapshot-store.ts",
    find: "const KEPT = 2;",
    replace: "const KEPT = 1;",
    caughtBy: ["test/storage/snapshots.test.ts"],
  },
  {
    name: "snapshots-that-were-dropped-keep-their-rows",
    file: "src/storage/snapshot-rows.ts",
    find: '  db.prepare("DELETE FROM snapshots WHERE last_index <= ?").run(dropUpTo);\n',
    replace: "",
    caughtBy: ["test/storage/snapshots.test.ts"],
  },
  {
    name: "a-snapshots-row-is-read-unchecked",
    file: "src/storage/snapshot-rows.ts",
    find: "if (rowChecksum(valuesOf(snapshot)) === row.checksum) return snapshot;",
    replace: "if (row.checksum !== -1) return snapshot;",
    caughtBy: ["test/storage/snapshots.test.ts"],
  },
];
