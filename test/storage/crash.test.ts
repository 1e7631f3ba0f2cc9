import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openSqliteStorage } from "../../src/storage/open.ts";
import { StorageChild } from "./child-process.ts";
import { bytesOf, LogModel, makeFolder, optionsFor, read, removeFolder, scriptedWrite } from "./support.ts";

const hasStrace = spawnSync("strace", ["-V"]).status === 0;

describe("SQLite storage of a process that is killed", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await makeFolder();
  });

  afterEach(() => removeFolder(folder));

  it.each([1, 30, 150, 400])(
    "holds a prefix of the writes, each whole, and all that were acknowledged (kill -9 after %i)",
    async (acknowledged) => {
      const child = new StorageChild("write", folder);
      await child.untilLines(acknowledged);
      await child.kill();
      await expectPrefix(folder, Number(child.lines.at(-1)));
    },
  );

  /** The directory holds what the first so many scripted writes leave, `acknowledged` at least. */
  async function expectPrefix(dataDir: string, acknowledged: number): Promise<void> {
    const storage = await openSqliteStorage(optionsFor(dataDir));
    // Each scripted write has a term of its own: the term found says how many were executed.
    const executed = storage.recovered.hardState.currentTerm;
    expect(executed).toBeGreaterThanOrEqual(acknowledged);
    const model = new LogModel();
    for (let n = 1; n <= executed; n++) model.apply(scriptedWrite(n, model.lastIndex));
    expect(storage.recovered.hardState).toEqual(model.hardState);
    expect(storage.recovered.lastIndex).toBe(model.lastIndex);
    expect(storage.recovered.termStarts).toEqual(model.termStarts);
    if (model.lastIndex > 0) {
      const frames = await read(storage, 1, model.lastIndex);
      expect(bytesOf(frames).equals(bytesOf(model.entries(1, model.lastIndex)))).toBe(true);
    }
    await storage.close();
  }

  it("can be opened after a kill at any moment of its first opening", async () => {
    for (const afterMs of [80, 100, 120, 140, 160, 200]) {
      const dataDir = join(folder, String(afterMs));
      const child = new StorageChild("hold", dataDir);
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      await child.kill();
      await expectPrefix(dataDir, 0);
    }
  });

  it("reports a full disk once and nothing after it, and has kept what it acknowledged", async () => {
    // A limit of the size of files, 128 or 256 KiB as the shell counts: beyond it a write fails, as on a full disk.
    const limited = ["sh", "-c", 'trap "" XFSZ; ulimit -f 256; exec "$@"', "sh"];
    const child = new StorageChild("writeUntilFailure", folder, limited);
    await child.untilLines(1);
    while (child.lines.at(-1) !== "closed") await child.untilLines(child.lines.length + 1);
    await child.kill();
    const failures = child.lines.filter((line) => !/^\d+$/.test(line));
    expect(failures).toEqual([expect.stringMatching(/^failed: StorageError: writing .*raft\.db: .*SQLITE_/), "closed"]);
    const acknowledged = child.lines.indexOf(failures[0] ?? "");
    expect(acknowledged).toBeGreaterThan(0);
    await expectPrefix(folder, acknowledged);
  });

  // On a running node, by hand, until Ctrl-C:
  //   strace -f -y -e trace=fsync,fdatasync -o syncs -p PID; grep -c 'raft.db-wal>' syncs; grep -c 'raft.db>' syncs
  // The WAL is synced once for each turn and twice for each checkpoint: before it copies, and when the WAL starts over.
  // The database file is synced once for each checkpoint.
  it.skipIf(!hasStrace)("syncs once for each commit, and for checkpoints (counted by strace)", async () => {
    const trace = join(folder, "syncs");
    const dataDir = join(folder, "data");
    // Making the directory syncs too, for the journal mode and the schema.
    await (await openSqliteStorage(optionsFor(dataDir))).close();
    const strace = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", trace];
    const child = new StorageChild("count", dataDir, strace);
    await child.ended();
    const commits = Number(child.lines[0]);
    expect(commits).toBe(400);
    const syncs = (await readFile(trace, "utf8")).split("\n").filter((line) => /f(data)?sync\(/.test(line));
    const walSyncs = syncs.filter((line) => line.includes("raft.db-wal>")).length;
    const checkpoints = syncs.filter((line) => line.includes("raft.db>")).length;
    // One at the close, and others on the way: the writes are more than 1,000 pages.
    expect(checkpoints).toBeGreaterThan(1);
    expect(walSyncs).toBe(commits + 2 * checkpoints);
  });
});
