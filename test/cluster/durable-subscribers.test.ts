import { randomBytes } from "node:crypto";
import { afterEach, expect, it } from "vitest";
import { CallFailure } from "../../src/grpc/call-failure.ts";
import { runHere } from "../cli/command.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { DurableStream } from "../support/durable-stream.ts";
import { putState } from "../support/put-state.ts";
import { until } from "../support/wait.ts";

afterEach(closeClusters);

/** What an acknowledgement may come to while there is no leader: refused for certain, or not known. */
const EXPECTED = new Set(["NO_LEADER", "NOT_APPENDED", "OUTCOME_UNKNOWN", "UNAVAILABLE"]);

/** Commits so many commands; returns the index of the last one. */
async function commit(node: ClusterNode, count: number): Promise<number> {
  let last = 0;
  for (let i = 0; i < count; i += 50) {
    const round = Array.from({ length: Math.min(50, count - i) }, (_, j) => node.commit(`command ${i + j}`));
    last = Math.max(last, ...(await Promise.all(round)).map(({ index }) => index));
  }
  return last;
}

const firstOf = async ({ client }: ClusterNode): Promise<number> => Number((await client.status()).state?.firstIndex);

/** Waits until a node says so of the durable subscribers. */
async function cursorsOf({ client }: ClusterNode, expected: Record<string, number>): Promise<void> {
  await until(
    () => `the cursors are ${JSON.stringify(expected)}`,
    async () => {
      const cursors = await client.cursors();
      const isEqual = Object.entries(expected).every(([name, cursor]) => cursors[name] === cursor);
      return isEqual && Object.keys(cursors).length === Object.keys(expected).length;
    },
  );
}

async function threeOf(cluster: Cluster): Promise<[leader: ClusterNode, follower: ClusterNode, other: ClusterNode]> {
  const leader = await cluster.leader();
  const [follower, other] = cluster.others(leader);
  if (follower === undefined || other === undefined) throw new Error("two follow");
  return [leader, follower, other];
}

it("goes on at its next entry on another node, however long it was away: no node cuts off what it needs", async () => {
  const cluster = await Cluster.create({ size: 3, flags: ["--catch-up-entries", "1"] });
  const [leader, follower, other] = await threeOf(cluster);
  const first = await DurableStream.open(follower.client, "reports");
  expect(first.startIndex).toBe(0);
  const seen = await commit(leader, 50);
  await first.reaches(seen);
  const cursor = seen - 10;
  expect(await first.acknowledge(cursor)).toBe(cursor);
  await follower.kill();

  const last = await commit(leader, 400);
  await cluster.allApplied(last, [leader, other]);
  await putState(leader.client.address, { index: last - 20, term: 0, format: "f" }, randomBytes(10_000));
  for (const node of [leader, other]) {
    await until(`${node.id} has the snapshot`, async () => (await node.client.status()).snapshot !== undefined);
    // It may be cut off as far as the cursor, and is on demand.
    const compacted = await runHere(["compact", "--keep-entries", "0", "--address", node.client.address]);
    expect(compacted).toMatchObject({ code: 0 });
    expect(await firstOf(node)).toBe(cursor + 1);
  }

  const second = await DurableStream.open(other.client, "reports");
  expect(second.startIndex).toBe(cursor);
  await second.reaches(last);
  expect(second.commands).toEqual(first.commands.filter((index) => index > cursor).concat(range(seen, last, second)));
  expect(second.commands[0]).toBe(cursor + 1);
  expect(await second.acknowledge(last)).toBe(last);
  const compacted = await runHere(["compact", "--keep-entries", "0", "--address", other.client.address]);
  expect(compacted).toMatchObject({ code: 0 });
  expect(await firstOf(other)).toBe(last - 19);

  await follower.start();
  await cursorsOf(follower, { reports: last });
  second.close();
}, 120_000);

/** What a stream has to have after `seen`: no entry that it was given is missing among those of the log. */
function range(seen: number, last: number, { commands }: DurableStream): number[] {
  const indexes = Array.from({ length: last - seen }, (_, i) => seen + 1 + i);
  // The entries in between that aren't commands are a few: who acknowledges, and who leads.
  const others = indexes.filter((index) => !commands.includes(index));
  expect(others.length).toBeLessThan(10);
  return indexes.filter((index) => commands.includes(index));
}

it("is its newest stream, wherever that is: the older one ends, and what it acknowledges moves nothing", async () => {
  const cluster = await Cluster.create({ size: 3 });
  const [leader, follower, other] = await threeOf(cluster);
  const index = await commit(leader, 20);
  const older = await DurableStream.open(follower.client, "reports");
  const newer = await DurableStream.open(other.client, "reports");
  await until("the older one ends", () => older.reason !== undefined);
  expect(older.reason).toBe("SUBSCRIBER_REPLACED");
  for (const { client } of cluster.nodes) {
    await expect(older.acknowledge(index, client)).rejects.toMatchObject({
      failure: { reason: "SUBSCRIBER_REPLACED" },
    });
  }
  await cursorsOf(leader, { reports: 0 });
  // On a node that may not have heard of the stream yet.
  expect(await newer.acknowledge(index, follower.client)).toBe(index);
  expect(newer.reason).toBeUndefined();
  const listed = await runHere(["subscribers", "list", "-o", "json", "--address", leader.client.address]);
  expect(JSON.parse(listed.stdout)).toMatchObject({ subscribers: [{ name: "reports", cursor: index }] });
  const removed = await runHere(["subscribers", "remove", "reports", "--address", follower.client.address]);
  expect(removed).toMatchObject({ code: 0, stdout: expect.stringContaining("removed reports") });
  await until("the stream ends", () => newer.reason !== undefined);
  expect(newer.reason).toBe("SUBSCRIBER_REPLACED");
  for (const node of cluster.nodes) await cursorsOf(node, {});
  const again = await runHere(["subscribers", "remove", "reports", "--address", other.client.address]);
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("NO_SUBSCRIBER") });
}, 90_000);

it("is never sent back by a leader's death, nor by a restart of all: what was answered with OK stays", async () => {
  const cluster = await Cluster.create({ size: 3 });
  const [leader, follower] = await threeOf(cluster);
  const last = await commit(leader, 300);
  const stream = await DurableStream.open(follower.client, "reports");
  await stream.reaches(last);
  let [acknowledged, sent, refused] = [0, 0, 0];
  const acknowledge = async (index: number): Promise<void> => {
    sent = index;
    try {
      const cursor = await stream.acknowledge(index);
      expect(cursor).toBeGreaterThanOrEqual(Math.max(index, acknowledged));
      acknowledged = cursor;
    } catch (error) {
      if (!(error instanceof CallFailure)) throw error;
      expect(EXPECTED).toContain(error.failure?.reason ?? error.code);
      refused++;
    }
  };
  for (let index = 10; index <= 30; index += 10) await acknowledge(index);
  expect(acknowledged).toBe(30);
  const during = (async () => {
    for (let index = 40; index <= 140; index += 10) await acknowledge(index);
  })();
  await leader.kill();
  await during;
  expect(refused).toBeLessThan(11);
  // A new leader has them all.
  await cluster.leader([...cluster.others(leader)]);
  await acknowledge(150);
  expect(acknowledged).toBe(150);
  stream.close();
  for (const node of cluster.nodes) if (node.isRunning) await node.kill();
  await Promise.all(cluster.nodes.map((node) => node.start()));
  await cluster.leader();
  for (const node of cluster.nodes) {
    const again = await DurableStream.open(node.client, "reports");
    expect(again.startIndex).toBeGreaterThanOrEqual(acknowledged);
    expect(again.startIndex).toBeLessThanOrEqual(sent);
    await again.reaches(last);
    again.close();
  }
}, 120_000);

it("that needs more than is kept is told of by status and by the log, then forgotten by all nodes alike", async () => {
  const flags = ["--retain-entries", "100", "--retention-policy", "drop-subscriber"];
  const cluster = await Cluster.create({ size: 3, flags });
  const [leader, follower, other] = await threeOf(cluster);
  const slow = await DurableStream.open(follower.client, "slow");
  const before = await commit(leader, 85);
  const quick = await DurableStream.open(other.client, "quick");
  await quick.reaches(before);
  expect(await quick.acknowledge(before)).toBe(before);
  const status = await until("status cautions", async () => {
    const { stdout } = await runHere(["status", "--address", leader.client.address]);
    return stdout.includes("nearly too many: drop-subscriber") ? stdout : undefined;
  });
  expect(status).toMatch(/the log keeps \d+ entries for slow, nearly too many: drop-subscriber/);
  const told = (level: string) => (node: ClusterNode) =>
    node.lines.some((line) => line["subscriber"] === "slow" && line["level"] === level);
  await until("its log warns", () => told("near")(leader));
  expect(slow.reason).toBeUndefined();
  const last = await commit(leader, 30);
  await quick.reaches(last);
  await quick.acknowledge(last);
  await until("it is dropped", () => slow.reason !== undefined);
  expect(slow.reason).toBe("SUBSCRIBER_REPLACED");
  expect(told("over")(leader)).toBe(true);
  for (const node of cluster.nodes) await cursorsOf(node, { quick: last });
  quick.close();
}, 90_000);
