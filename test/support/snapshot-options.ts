import type { NodeOptions } from "../../src/node/options.ts";

/** As a node is configured when nothing is said. */
export const SNAPSHOT_OPTIONS: Pick<
  NodeOptions,
  "snapshotEntries" | "snapshotBytes" | "catchUpEntries" | "retainEntries" | "retainBytes" | "retentionPolicy"
> = {
  snapshotEntries: 100_000,
  snapshotBytes: 256 * 1024 * 1024,
  catchUpEntries: 10_000,
  retainEntries: 100_000_000,
  retainBytes: 16 * 1024 ** 3,
  retentionPolicy: "block-compaction",
};
