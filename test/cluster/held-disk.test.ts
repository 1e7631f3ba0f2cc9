import { join } from "node:path";
import Database from "better-sqlite3";
import { afterEach, expect, it } from "vitest";
import type { EntryId } from "../support/client.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { Subscriber } from "../support/subscriber.ts";
import { sleep, until } from "../support/wait.ts";
import { type Outcome, outcomeOf } from "../support/writers.ts";

/** Longer than any write takes by itself, and shorter than the writer waits for the database. */
const HELD_MS = 1_000;

const held: Database.Database[] = [];
afterEach(async () => {
  for (const db of held.splice(0)) db.close();
  await closeClusters();
});

/** Keeps the node's disk from taking any write, as a disk that hangs does, until `close`. */
function holdDisk(node: ClusterNode): Database.Database {
  const db = new Database(join(node.dataDir, "raft.db"));
  held.push(db);
  db.exec("BEGIN IMMEDIATE");
  return db;
}

async function proposeOnce(node: ClusterNode, command: string): Promise<Outcome> {
  return node.client.propose(command).then((at: EntryId): Outcome => ({ kind: "acknowledged", at }), outcomeOf);
}

it("as a single voter acknowledges and delivers nothing that its own disk has not taken", async () => {
  const cluster = await Cluster.create({ size: 1 });
  const node = await cluster.leader();
  const before = await node.commit("before");
  const reader = new Subscriber([node.client]);
  await reader.reaches(before.index);

  const disk = holdDisk(node);
  const proposed = proposeOnce(node, "not on the disk");
  await until("the command is appended", async () => ((await node.state())?.last ?? 0) > before.index);
  await sleep(HELD_MS);
  expect(reader.entries.map(({ command }) => command)).toEqual(["before"]);
  await node.kill();
  expect((await proposed).kind).toBe("unknown");
  await reader.close();
  disk.close();

  await node.start();
  await node.commit("after");
  // Nothing was written, so nothing is found: an answer before the write would have been a lie.
  expect((await node.client.readLog()).map(({ command }) => command)).toEqual(["before", "after"]);
});

it("as a follower delivers nothing that its own disk has not taken, however committed it is", async () => {
  const cluster = await Cluster.create({ size: 3 });
  const leader = await cluster.leader();
  const [follower] = cluster.others(leader);
  if (follower === undefined) throw new Error("three nodes");
  const before = await leader.commit("before");
  const reader = new Subscriber([follower.client]);
  await reader.reaches(before.index);

  const disk = holdDisk(follower);
  const committed = await leader.commit("committed by the others");
  await until("the follower knows", async () => ((await follower.state())?.commit ?? 0) >= committed.index);
  await sleep(HELD_MS);
  expect(reader.entries.map(({ command }) => command)).toEqual(["before"]);
  disk.close();
  // It comes from the disk then.
  const entries = await reader.reaches(committed.index);
  expect(entries.at(-1)?.command).toBe("committed by the others");
  expect(reader.violations).toEqual([]);
  await reader.close();
});
