import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { SqliteStorage } from "../../src/storage/sqlite-storage.ts";
import { makeFolder, removeFolder, startNode, type TestNode } from "../grpc/support.ts";
import { TestClient } from "../support/client.ts";
import { freePorts } from "../support/ports.ts";
import { until } from "../support/wait.ts";

/**
 * The transactions that a node commits, each with one sync of the write-ahead log, counted beside its turns and the
 * acknowledgements. Nodes with real disks and real connections, in this process.
 */
interface Counted {
  readonly running: TestNode;
  readonly client: TestClient;
  readonly commits: () => number;
  /** Disk turns: what the node asked the disk to write. */
  readonly turns: () => number;
}

/** An election in the middle would be counted: on a busy machine it takes longer silences than by default to avoid one. */
const PATIENT = { electionTimeoutMinMs: 1_000, electionTimeoutMaxMs: 2_000 };

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startCounted(size: number): Promise<Counted[]> {
  const folder = await makeFolder();
  cleanups.push(() => removeFolder(folder));
  const ids = Array.from({ length: size }, (_, i) => `n${i + 1}`);
  const peers = new Map<string, string>();
  const firstPort = await freePorts(size);
  for (const [i, id] of ids.entries()) peers.set(id, `127.0.0.1:${firstPort + i}`);
  return Promise.all(
    ids.map(async (id): Promise<Counted> => {
      const running = await startNode({ id, peers, dataDir: join(folder, id), node: PATIENT });
      const client = new TestClient(running.listener.addresses[0] ?? "");
      cleanups.push(async () => {
        client.close();
        await running.stop();
      });
      const { storage } = running;
      if (!(storage instanceof SqliteStorage)) throw new Error("a real disk");
      const turns = vi.spyOn(storage, "write");
      return { running, client, commits: () => storage.commits, turns: () => turns.mock.calls.length };
    }),
  );
}

/** Waits for a leader, and until nothing is under way any more. */
async function settled(nodes: readonly Counted[]): Promise<Counted> {
  return until("a leader, and all have its log", async () => {
    const states = await Promise.all(nodes.map(({ client }) => client.state()));
    const leader = states.findIndex((state) => state?.isLeader);
    const last = states[leader]?.last ?? 0;
    const same = states.every((state) => state?.last === last && state.applied === last && last > 0);
    return same ? nodes[leader] : undefined;
  });
}

/** What `work` costs each node. */
async function costs(
  nodes: readonly Counted[],
  work: () => Promise<void>,
): Promise<{ commits: number; turns: number }[]> {
  await settled(nodes);
  const before = nodes.map((node) => ({ commits: node.commits(), turns: node.turns() }));
  await work();
  await settled(nodes);
  return nodes.map((node, i) => ({
    commits: node.commits() - (before[i]?.commits ?? 0),
    turns: node.turns() - (before[i]?.turns ?? 0),
  }));
}

/** Answers how many were acknowledged: all. */
async function propose(client: TestClient, count: number, inFlight: number): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (next < count) await client.propose(`command ${next++}`);
    }),
  );
}

describe.each([1, 3])("a cluster of %i", (size) => {
  it("commits once on each disk for a lone proposal, with each acknowledgement", async () => {
    const nodes = await startCounted(size);
    const leader = await settled(nodes);
    const spent = await costs(nodes, async () => {
      for (let i = 0; i < 20; i++) {
        await propose(leader.client, 1, 1);
        await settled(nodes);
      }
    });
    expect(spent).toEqual(nodes.map(() => ({ commits: 20, turns: 20 })));
  });

  it("commits far less often than it acknowledges under load, and once a turn", async () => {
    const nodes = await startCounted(size);
    const leader = await settled(nodes);
    const spent = await costs(nodes, () => propose(leader.client, 1_000, 64));
    for (const { commits, turns } of spent) {
      expect(commits).toBe(turns);
      expect(commits).toBeGreaterThanOrEqual(Math.ceil(1_000 / 64));
      expect(commits).toBeLessThan(1_000 / 3);
    }
  });

  it("commits nothing for reads and while idle", async () => {
    const nodes = await startCounted(size);
    const leader = await settled(nodes);
    const spent = await costs(nodes, async () => {
      for (let i = 0; i < 20; i++) await leader.client.readIndex();
    });
    expect(spent).toEqual(nodes.map(() => ({ commits: 0, turns: 0 })));
  });
});
