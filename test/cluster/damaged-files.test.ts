import { cpSync, existsSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { SidecarProcess } from "../support/sidecar-process.ts";
import { sleep } from "../support/wait.ts";

/** Longer than the mark stays behind. */
const MARKED_AFTER_MS = 1_000;

/** Of the page that the WAL's first frame holds, from the start of the file. */
const FIRST_PAGE_AT = 32 + 24;

const BRING_BACK = "Bring back the very files of this data directory as they last were, never an older copy";

function flipBit(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
  writeFileSync(file, bytes);
}

/** A place in a page in the middle of a WAL. */
function middleOf(file: string): number {
  return FIRST_PAGE_AT + Math.floor((statSync(file).size - FIRST_PAGE_AT) / 2);
}

/** Reads a number of the database's header or changes it, and brings the WAL into the database, whose end it is. */
function intoDatabase(file: string, pragma: string): void {
  const db = new Database(file);
  db.pragma(pragma);
  db.prepare("SELECT * FROM state").get();
  db.close();
  expect(existsSync(`${file}-wal`)).toBe(false);
}

describe("a node that was killed and whose files are damaged before it starts again", () => {
  let cluster: Cluster;
  let node: ClusterNode;
  const acknowledged: string[] = [];

  beforeAll(async () => {
    cluster = await Cluster.create({ size: 3 });
    const leader = await cluster.leader();
    node = cluster.others(leader)[0] ?? leader;
    for (let i = 0; i < 20; i++) await commit(leader, `before ${i}`);
    const { index } = await leader.commit("the last before");
    await cluster.allApplied(index);
    await sleep(MARKED_AFTER_MS);
    await node.kill();
  }, 60_000);

  afterAll(closeClusters);

  async function commit(at: ClusterNode, command: string): Promise<void> {
    await at.commit(command);
    acknowledged.push(command);
  }

  /** The node's directory as it was left, once more. */
  function copyFor(title: string): string {
    const copy = join(cluster.folder, title.replaceAll(" ", "-"));
    cpSync(node.dataDir, copy, { recursive: true });
    return copy;
  }

  /** Starts the node from `dataDir`, which it has to refuse; then the others commit. Returns what it said. */
  async function refusal(dataDir: string, exitCode: number): Promise<string> {
    const refused = new SidecarProcess(["serve", "--exit-with-parent", ...node.flags, "--data-dir", dataDir]);
    expect(await refused.exited).toBe(exitCode);
    await commit(await cluster.leader(cluster.others(node)), `beside ${dataDir}`);
    return refused.stderr;
  }

  const LOST = [
    "raft.db has lost what this node acknowledged",
    "raft.db-wal was deleted, cut off or damaged",
    BRING_BACK,
  ];

  // Each in a copy of its own, so that they can start side by side.
  describe.concurrent("from a copy of its directory", () => {
    it.each<[string, string, (file: string) => void, number, string[]]>([
      ["a deleted WAL", "raft.db-wal", (file) => rmSync(file), 74, LOST],
      ["an empty WAL", "raft.db-wal", (file) => truncateSync(file, 0), 74, LOST],
      ["a WAL cut off at a page", "raft.db-wal", (file) => truncateSync(file, 32 + 4 * 4120), 74, LOST],
      ["a WAL cut off within a page", "raft.db-wal", (file) => truncateSync(file, middleOf(file)), 74, LOST],
      ["a bit flipped in the header of the WAL", "raft.db-wal", (file) => flipBit(file, 9), 74, LOST],
      ["a bit flipped in a page of the WAL", "raft.db-wal", (file) => flipBit(file, middleOf(file)), 74, LOST],
      ["a deleted database", "raft.db", (file) => rmSync(file), 74, ["raft.db", "it is missing, and", BRING_BACK]],
      [
        "an empty database",
        "raft.db",
        (file) => truncateSync(file, 0),
        74,
        ["raft.db", "it is empty, and", BRING_BACK],
      ],
      ["a deleted mark", "raft.mark", (file) => rmSync(file), 74, ["raft.mark is missing", BRING_BACK]],
      [
        "a lock that is no database",
        "lock.db",
        (file) => writeFileSync(file, "x".repeat(4096)),
        74,
        ["lock.db is damaged", "It holds nothing", "delete it and start again"],
      ],
      [
        "a schema of a newer version",
        "raft.db",
        (file) => intoDatabase(file, "user_version=9"),
        1,
        ["schema version 9", "written by a newer raft-sidecar", "Run the newer build again"],
      ],
      [
        "the database of another program",
        "raft.db",
        (file) => intoDatabase(file, "application_id=42"),
        1,
        ["is the database of another program", "application_id is 42", "Give another --data-dir"],
      ],
    ])("is refused for %s, with what to do, and the others go on", async (title, name, damage, exitCode, words) => {
      const dataDir = copyFor(title);
      damage(join(dataDir, name));
      const said = await refusal(dataDir, exitCode);
      for (const part of words) expect(said).toContain(part);
    });

    // Not a bit at each place is noticed at the start: one in a frame of the log is when the entry is read.
    it.each<[string, (bytes: Buffer) => number]>([
      ["the header", () => 3],
      ["the page size", () => 16],
      ["the first page", () => 100],
      ["the schema", (bytes) => bytes.indexOf("current_term")],
    ])("is refused for a bit flipped in %s of its database, and the others go on", async (title, placeIn) => {
      const dataDir = copyFor(title);
      const file = join(dataDir, "raft.db");
      intoDatabase(file, "user_version");
      flipBit(file, placeIn(readFileSync(file)));
      expect(await refusal(dataDir, 74)).toContain("raft.db");
    });

    it("is refused for a database cut off at a page, and the others go on", async () => {
      const dataDir = copyFor("cut off");
      const file = join(dataDir, "raft.db");
      intoDatabase(file, "user_version");
      truncateSync(file, statSync(file).size - 4096);
      expect(await refusal(dataDir, 74)).toMatch(/raft\.db: .*SQLITE_CORRUPT.*Bring back/);
    });
  });

  it("takes part again from the very files, with all that was acknowledged", async () => {
    await node.start();
    await node.commit("back");
    const found = (await node.client.readLog()).map(({ command }) => command);
    expect(acknowledged.length).toBeGreaterThan(30);
    expect(found).toEqual(expect.arrayContaining(acknowledged));
  });
});

describe("a node whose files vanish while it runs", () => {
  let cluster: Cluster;
  let node: ClusterNode;

  beforeAll(async () => {
    cluster = await Cluster.create({ size: 3 });
    node = cluster.others(await cluster.leader())[0] ?? cluster.node("n1");
  }, 60_000);

  afterAll(closeClusters);

  it.each([
    ["raft.db", "its database"],
    ["raft.db-wal", "its WAL"],
    ["lock.db", "its lock"],
    ["", "the whole directory"],
  ])(
    "ends with 74 and the name, the others go on, and with the file back it has all it acknowledged (%s: %s)",
    async (name) => {
      const path = join(node.dataDir, name);
      const aside = join(cluster.folder, "aside");
      const { index } = await node.commit(`before ${name}`);
      renameSync(path, aside);
      expect(await node.process.exited).toBe(74);
      expect(JSON.stringify(node.process.events("the node can't go on"))).toContain(
        "was deleted or moved while this node",
      );
      const leader = await cluster.leader(cluster.others(node));
      const after = await leader.commit(`after ${name}`);

      renameSync(aside, path);
      await node.start();
      expect((await node.state())?.last).toBeGreaterThanOrEqual(index);
      await cluster.allApplied(after.index);
    },
    30_000,
  );

  it("starts without its lock's file, which holds nothing", async () => {
    await node.stop();
    rmSync(join(node.dataDir, "lock.db"));
    await node.start();
    const { index } = await node.commit("without a lock's file");
    await cluster.allApplied(index);
  });

  it("ends with 74 when another file was put in the place of its WAL", async () => {
    const wal = join(node.dataDir, "raft.db-wal");
    cpSync(wal, `${wal}.copy`);
    renameSync(`${wal}.copy`, wal);
    expect(await node.process.exited).toBe(74);
    expect(JSON.stringify(node.process.events("the node can't go on"))).toContain(
      "was replaced while this node used it",
    );
    await cluster.leader(cluster.others(node));
  });
});
