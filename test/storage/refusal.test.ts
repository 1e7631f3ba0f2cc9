import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import SqliteDatabase from "better-sqlite3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type OpenOptions, openSqliteStorage } from "../../src/storage/open.ts";
import { StorageChild } from "./child-process.ts";
import { makeFolder, OWNER, optionsFor, removeFolder } from "./support.ts";

describe("a data directory that can't be used", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await makeFolder();
  });

  afterEach(() => removeFolder(folder));

  function open(options: Partial<OpenOptions> = {}): Promise<never> {
    return openSqliteStorage({ ...optionsFor(folder), ...options }).then(async (storage) => {
      await storage.close();
      throw new Error("it was opened");
    });
  }

  describe("because it is somebody else's", () => {
    it.each([
      ["node", { nodeId: "n2" }, ["n1", "n2", "--id"]],
      ["cluster", { clusterId: "prod" }, ["test", "prod", "--cluster-id"]],
      ["list of voters", { bootstrapVoters: ["n1", "n4", "n3"] }, ["n1,n2,n3", "n1,n3,n4", "--initial-cluster"]],
    ])("shows both sides for another %s", async (_title, options, shown) => {
      await (await openSqliteStorage(optionsFor(folder))).close();
      const error: unknown = await open(options).catch((refused: unknown) => refused);
      expect(error).toMatchObject({ name: "StorageError", kind: "refused" });
      for (const part of shown) expect(String(error)).toContain(part);
    });

    it("says that a directory bootstrapped as one voter never joins three", async () => {
      await (await openSqliteStorage({ ...optionsFor(folder), bootstrapVoters: ["n1"] })).close();
      await expect(open()).rejects.toMatchObject({
        kind: "refused",
        message: expect.stringContaining("A directory bootstrapped as one voter never joins others"),
      });
    });

    it("takes the voters in any order", async () => {
      await (await openSqliteStorage(optionsFor(folder))).close();
      const storage = await openSqliteStorage({ ...optionsFor(folder), bootstrapVoters: ["n3", "n1", "n2"] });
      expect(storage.recovered.bootstrapVoters).toEqual(OWNER.bootstrapVoters);
      await storage.close();
    });

    it("refuses a newer schema and says what this build knows", async () => {
      await (await openSqliteStorage(optionsFor(folder))).close();
      const db = new SqliteDatabase(join(folder, "raft.db"));
      db.pragma("user_version=7");
      db.close();
      await expect(open()).rejects.toMatchObject({
        kind: "refused",
        message: expect.stringMatching(/schema version 7.*knows versions up to 5\. Run the newer build/),
      });
    });

    it("refuses another program's database and leaves it as it is", async () => {
      const file = join(folder, "raft.db");
      const db = new SqliteDatabase(file);
      db.pragma("application_id=42");
      db.exec("CREATE TABLE t (x INTEGER) STRICT");
      db.close();
      const before = await readFile(file);
      await expect(open()).rejects.toMatchObject({
        kind: "refused",
        message: expect.stringContaining("application_id is 42"),
      });
      expect((await readFile(file)).equals(before)).toBe(true);
    });
  });

  describe("because it is in use", () => {
    it("is refused at once, with the holder's pid, until the holder is killed", async () => {
      const holder = new StorageChild("hold", folder);
      await holder.untilLines(1);
      const startedMs = performance.now();
      await expect(open()).rejects.toMatchObject({
        kind: "inUse",
        message: expect.stringMatching(/in use by another process \(pid \d+\)/),
      });
      expect(performance.now() - startedMs).toBeLessThan(1000);
      await holder.kill();
      await (await openSqliteStorage(optionsFor(folder))).close();
    });

    it("is refused to the same process, and free again after a close or a failed opening", async () => {
      const storage = await openSqliteStorage(optionsFor(folder));
      await expect(open()).rejects.toMatchObject({ kind: "inUse" });
      await expect(open()).rejects.toMatchObject({ kind: "inUse" });
      await storage.close();
      await expect(open({ nodeId: "n2" })).rejects.toMatchObject({ kind: "refused" });
      await (await openSqliteStorage(optionsFor(folder))).close();
    });
  });

  describe("because it can't be written", () => {
    it("says so for a path that can't be created", async () => {
      await writeFile(join(folder, "file"), "");
      await symlink(join(folder, "nowhere"), join(folder, "link"));
      const paths = ["file", "file/data", "file/a/b", "link", "link/data"].map((path) => join(folder, path));
      // A file system that has no room for new names, and says that a parent is missing.
      if (existsSync("/proc/self")) paths.push("/proc/raft-sidecar");
      for (const dataDir of paths) {
        await expect(open({ dataDir })).rejects.toMatchObject({
          name: "StorageError",
          kind: "failed",
          message: expect.stringMatching(/cannot be created \((EEXIST|ENOTDIR|ENOENT)\)\. Create it/),
        });
      }
    });

    it("creates missing directories", async () => {
      const storage = await openSqliteStorage({ ...optionsFor(join(folder, "a", "b", "c")) });
      await storage.close();
    });

    it.each(["new", "used"])("says so for a read-only directory that is %s", async (kind) => {
      // As root, permissions bind only after the child has become somebody else.
      const dataDir = join(folder, "data");
      await mkdir(dataDir);
      await chmod(folder, 0o755);
      if (kind === "used") await (await openSqliteStorage(optionsFor(dataDir))).close();
      await chmod(dataDir, 0o555);
      const child = new StorageChild("unprivileged", dataDir);
      await child.untilLines(1);
      await child.kill();
      await chmod(dataDir, 0o755);
      expect(child.lines[0]).toMatch(/StorageError: the data directory is not writable: .*EACCES.*Make it/);
    });

    it("says so for files that it may only read", async () => {
      await (await openSqliteStorage(optionsFor(folder))).close();
      await chmod(folder, 0o777);
      for (const name of ["lock.db", "lock.pid", "raft.db"]) await chmod(join(folder, name), 0o444);
      const child = new StorageChild("unprivileged", folder);
      await child.untilLines(1);
      await child.kill();
      expect(child.lines[0]).toMatch(/StorageError: the data directory is not writable: .*SQLITE_READONLY.*Make it/);
    });
  });
});
