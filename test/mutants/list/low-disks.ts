import type { Mutant } from "../mutant.ts";

/** The disk guard: when a disk is low, and what is refused then. */
export const lowDisks: readonly Mutant[] = [
  {
    name: "a-low-disk-takes-proposals",
    file: "src/node/admission.ts",
    find: "  if (refusal !== undefined) {",
    replace: "  if (refusal !== undefined && lastIndex < 0) {",
    caughtBy: ["test/node/disk-guard.test.ts"],
  },
  {
    name: "a-low-disk-takes-proposals-with-an-id",
    file: "src/node/admission.ts",
    find: "return refusal ?? { ...this.#append(command, id), duplicate: false };",
    replace: "return { ...this.#append(command, id), duplicate: false };",
    caughtBy: ["test/node/disk-guard.test.ts"],
  },
  {
    name: "a-low-disk-forgets-what-it-holds",
    file: "src/node/admission.ts",
    find: 'if (found?.kind === "known") return',
    replace: 'if (found?.kind === "known" && refusal === undefined) return',
    caughtBy: ["test/node/disk-guard.test.ts"],
  },
  {
    name: "a-low-disk-stays-low",
    file: "src/node/disk-guard.ts",
    find: "const low = freeBytes",
    replace: "const low = wasLow || freeBytes",
    caughtBy: ["test/node/disk-guard.test.ts"],
  },
  {
    name: "a-low-disk-goes-to-and-fro",
    file: "src/node/disk-guard.ts",
    find: "limitBytes * (1 + LET_GO_SHARE)",
    replace: "limitBytes",
    caughtBy: ["test/node/disk-guard.test.ts"],
  },
  {
    name: "deleted-rows-are-no-room",
    file: "src/storage/disk-space.ts",
    find: "freeBytes: exact(space.freeBytes + unusedBytes),",
    replace: "",
    caughtBy: ["test/storage/disk-space.test.ts"],
  },
  {
    name: "a-fast-log-outruns-the-guard",
    file: "src/storage/writer-worker.ts",
    find: "if (unmeasuredBytes >= MEASURE_EVERY_BYTES) measure();",
    replace: "",
    caughtBy: ["test/storage/disk-space.test.ts"],
  },
  {
    name: "a-disk-is-measured-at-the-start-only",
    file: "src/storage/writer-worker.ts",
    find: "      attempt(measure);\n",
    replace: "",
    caughtBy: ["test/storage/disk-space.test.ts"],
  },
];
