import { statfsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openWriterConnection } from "../../src/storage/connection.ts";
import { bytesUntilLow, DiskGauge } from "../../src/storage/disk-space.ts";
import { openSqliteStorage } from "../../src/storage/open.ts";
import type { DiskUsage } from "../../src/storage/storage.ts";
import { until } from "../support/wait.ts";
import { commands, makeFolder, optionsFor, removeFolder, write } from "./support.ts";

const MIB = 1024 * 1024;

/** Other programs use the same file system meanwhile. */
const NOISE_BYTES = 8 * MIB;

let folder: string;

beforeEach(async () => {
  folder = await makeFolder();
});

afterEach(() => removeFolder(folder));

/** What is free of the file system itself. */
function freeOutside(): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

it("what was deleted from the database counts as free, and as used no more, though the file is as large as before (PITFALL 61)", async () => {
  const storage = await openSqliteStorage(optionsFor(folder));
  const usages: DiskUsage[] = [];
  storage.onUsage = (usage) => usages.push(usage);
  for (let i = 0; i < 32; i++) {
    await write(storage, { hardState: { currentTerm: 1, votedFor: "" }, frames: [commands(i + 1, 1, 1, MIB)] });
  }
  const full = usages.at(-1);
  await write(storage, { truncateFrom: 1 });
  await until("it is measured again", () => (usages.at(-1)?.usedBytes ?? 0) < MIB);
  await storage.close();
  expect(full?.usedBytes).toBeGreaterThan(32 * MIB);
  expect(full?.usedBytes).toBeLessThan(34 * MIB);

  const { db } = openWriterConnection(join(folder, "raft.db"));
  const { freeBytes, usedBytes } = new DiskGauge(folder, db, undefined).measure();
  const unusedBytes = freeBytes - freeOutside();
  db.close();
  expect(unusedBytes).toBeGreaterThan(32 * MIB - NOISE_BYTES);
  expect(unusedBytes).toBeLessThan(34 * MIB + NOISE_BYTES);
  expect(usedBytes).toBeLessThan(MIB);
});

it("a storage tells how full its disk is: at once, by itself within a second, and with each MiB before that is reported done", async () => {
  const storage = await openSqliteStorage({ ...optionsFor(folder), minFreeBytes: 7 });
  const seen: string[] = [];
  storage.onUsage = ({ limitBytes, usedBytes, totalBytes, freeBytes }) => {
    expect({ limitBytes, isOdd: usedBytes <= 0 || freeBytes <= 0 || freeBytes > totalBytes }).toEqual({
      limitBytes: 7,
      isOdd: false,
    });
    seen.push("measured");
  };
  expect(seen).toEqual(["measured"]);
  await until("it is measured again", () => seen.length > 2);
  seen.length = 0;
  await write(storage, { hardState: { currentTerm: 1, votedFor: "" }, frames: [commands(1, 1, 1, 2 * MIB)] });
  expect(seen).toContain("measured");
  await storage.close();
});

it("of a large file system 256 MiB are kept free, or what is asked for; the same of snapshots", async () => {
  await (await openSqliteStorage(optionsFor(folder))).close();
  const { db } = openWriterConnection(join(folder, "raft.db"));
  for (const [minFreeBytes, limitBytes] of [
    [undefined, Math.min(256 * MIB, Math.floor(new DiskGauge(folder, db, 0).measure().totalBytes / 20))],
    [0, 0],
    [10 * MIB, 10 * MIB],
  ] as const) {
    expect(new DiskGauge(folder, db, minFreeBytes).measure().limitBytes).toBe(limitBytes);
    const untilLow = await bytesUntilLow(folder, minFreeBytes);
    expect(Math.abs(freeOutside() - limitBytes - untilLow)).toBeLessThan(NOISE_BYTES);
  }
  db.close();
});
