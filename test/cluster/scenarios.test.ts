import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { EntryId, LogEntry } from "../support/client.ts";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import { deliveredBy } from "../support/subscriber.ts";
import { never, sleep, until } from "../support/wait.ts";
import { type Outcome, outcomeOf } from "../support/writers.ts";

/** Two of the longest election timeouts: by then a cluster has settled. */
const SETTLE_MS = 1_600;

let cluster: Cluster;
afterEach(() => cluster.heal());
afterAll(closeClusters);

/** All nodes deliver the same up to `index`. */
async function sameLog(index: number): Promise<readonly LogEntry[]> {
  await cluster.allApplied(index);
  const [first = [], ...others] = await Promise.all(cluster.clients.map((client) => deliveredBy(client, index)));
  for (const other of others) expect(other).toEqual(first);
  return first;
}

async function isLeading(node: ClusterNode): Promise<boolean> {
  return (await node.state())?.isLeader === true;
}

function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}-${i + 1}`);
}

/**
 * Cuts the network around `leader` so that it has no quorum, and has it append commands, which can't commit. A leader
 * that has stepped down already appends nothing: then once more, with other commands.
 */
async function appendWithoutQuorum(
  what: string,
  count: number,
  cut: () => Promise<ClusterNode>,
): Promise<{ leader: ClusterNode; commands: string[]; outcomes: Outcome[] }> {
  for (let attempt = 1; attempt <= 5; attempt++) {
    const leader = await cut();
    const commands = names(`${what}${attempt}`, count);
    const outcomes = await Promise.all(
      commands.map((command) =>
        leader.client.propose(command).then((at): Outcome => ({ kind: "acknowledged", at }), outcomeOf),
      ),
    );
    const log = await commandsOf(leader);
    if (commands.every((command) => log.includes(command))) return { leader, commands, outcomes };
    cluster.heal();
  }
  throw new Error(`no leader appended ${what} before it stepped down`);
}

async function commandsOf(node: ClusterNode): Promise<string[]> {
  return (await node.client.readLog()).map((entry) => entry.command);
}

describe("three nodes", () => {
  beforeAll(async () => {
    cluster = await Cluster.create({ size: 3, proxied: true });
  }, 60_000);

  it("elect one leader, on which and on whose term all agree, and keep it", async () => {
    const observed = async (): Promise<string> => {
      const leader = await cluster.leader();
      const state = await leader.state();
      expect(state?.term).toBeGreaterThanOrEqual(1);
      return `${leader.id} ${state?.term}`;
    };
    // A busy machine may stop a leader for longer than an election takes; for ever it doesn't.
    await until("a leader stays", async () => {
      const first = await observed();
      const deadlineMs = performance.now() + SETTLE_MS;
      while (performance.now() < deadlineMs) if ((await observed()) !== first) return false;
      return true;
    });
  });

  it("elect another leader when theirs is cut off, which follows when it returns, and none without a quorum", async () => {
    const first = await cluster.leader();
    cluster.isolate([first]);
    const second = await cluster.leader(cluster.others(first));
    await until("the old leader steps down", async () => !(await isLeading(first)));
    cluster.heal();
    const third = await cluster.leader();
    expect((await first.state())?.term).toBeGreaterThanOrEqual((await second.state())?.term ?? 0);

    const [left, right] = cluster.others(third);
    cluster.isolate(cluster.nodes, "blackhole");
    await until("the lone leader steps down", async () => !(await isLeading(third)));
    await never("a node without a quorum leads", SETTLE_MS, async () => {
      return (await Promise.all(cluster.nodes.map(isLeading))).includes(true);
    });

    const majority = [left, right].filter((node) => node !== undefined);
    cluster.partition([majority]);
    await cluster.leader(majority);
    cluster.heal();
    await cluster.leader();
  });

  it("commit three commands at three indexes that follow each other, and apply none before it was proposed", async () => {
    let run = 0;
    const ids = await until("three commands in one term", async () => {
      run++;
      const committed: EntryId[] = [];
      for (const [i, node] of cluster.nodes.entries()) {
        const before = (await Promise.all(cluster.nodes.map(commandsOf))).flat();
        expect(before).not.toContain(`basic${run}-${i}`);
        committed.push(await node.commit(`basic${run}-${i}`));
      }
      return new Set(committed.map(({ term }) => term)).size === 1 ? committed : undefined;
    });
    const [first = { index: 0, term: 0 }] = ids;
    expect(ids.map(({ index }) => index)).toEqual([first.index, first.index + 1, first.index + 2]);
    const log = await sameLog(first.index + 2);
    expect(log.slice(-3)).toEqual(ids.map((id, i) => ({ ...id, command: `basic${run}-${i}` })));
  });

  it("agree again after a follower that missed commands reconnects", async () => {
    const leader = await cluster.leader();
    const [follower, other] = cluster.others(leader);
    if (follower === undefined || other === undefined) throw new Error("three nodes");
    cluster.isolate([follower]);
    const missed: EntryId[] = [];
    for (const command of names("missed", 5)) missed.push(await other.commit(command));
    expect((await follower.state())?.applied).toBeLessThan(missed[0]?.index ?? 0);
    cluster.heal();
    const { index } = await follower.commit("together");
    const log = await sameLog(index);
    expect(log.filter(({ command }) => command.startsWith("missed")).map((entry) => entry.index)).toEqual(
      missed.map((id) => id.index),
    );
  });

  it("overwrite everywhere what a partitioned leader appended", async () => {
    const {
      leader: old,
      commands,
      outcomes,
    } = await appendWithoutQuorum("lost", 3, async () => {
      const leader = await cluster.leader();
      cluster.isolate([leader]);
      return leader;
    });
    // It is in a log, and could have survived: nothing definite can be said.
    expect(outcomes).toEqual(commands.map(() => ({ kind: "unknown", why: "OUTCOME_UNKNOWN" })));

    const second = await cluster.leader(cluster.others(old));
    await second.commit("kept");
    const [third] = cluster.others(old, second);
    if (third === undefined) throw new Error("three nodes");
    // Now the new leader is away, and the old one can't lead: its log is behind.
    cluster.partition([[old, third]]);
    expect(await cluster.leader([old, third])).toBe(third);
    await old.commit("kept too");
    cluster.heal();
    const { index } = await second.commit("all together");
    const log = (await sameLog(index)).map((entry) => entry.command);
    expect(log).toEqual(expect.arrayContaining(["kept", "kept too", "all together"]));
    for (const node of cluster.nodes) {
      const kept = await commandsOf(node);
      expect(commands.filter((command) => kept.includes(command))).toEqual([]);
    }
  });

  it("give a barrier on any node that covers what was acknowledged on any other", async () => {
    await cluster.leader();
    for (let i = 0; i < 12; i++) {
      const writer = cluster.nodes[i % 3] ?? cluster.nodes[0];
      const written = await writer?.commit(`before barrier ${i}`);
      const barriers = await Promise.all(
        cluster.clients.map((client) => until("a barrier", () => client.readIndex().catch(() => undefined))),
      );
      for (const barrier of barriers) expect(barrier.index).toBeGreaterThanOrEqual(written?.index ?? 0);
    }
  });

  it("never get a barrier from a leader that is partitioned away, whether it knows it or not", async () => {
    const old = await cluster.leader();
    cluster.isolate([old], "blackhole");
    const asked: Promise<unknown>[] = [];
    const ask = () => asked.push(old.client.readIndex(2_500).then(() => "confirmed", outcomeOf));
    const untilMs = performance.now() + SETTLE_MS;
    ask();
    const others = cluster.others(old);
    const second = await cluster.leader(others);
    await second.commit("unseen by the old leader");
    while (performance.now() < untilMs) {
      ask();
      await sleep(50);
    }
    expect(asked.length).toBeGreaterThan(1);
    expect(await Promise.all(asked)).not.toContain("confirmed");
  });
});

describe("five nodes", () => {
  beforeAll(async () => {
    cluster = await Cluster.create({ size: 5, proxied: true });
  }, 60_000);

  it("back up over logs that went wrong in two partitions", async () => {
    const minority: ClusterNode[] = [];
    const first = await appendWithoutQuorum("wrong", 50, async () => {
      const leader = await cluster.leader();
      minority.splice(0, 2, leader, ...cluster.others(leader).slice(0, 1));
      cluster.partition([minority]);
      return leader;
    });
    const majority = cluster.others(...minority);
    cluster.partition([majority]);
    await cluster.leader(majority);
    const rights = names("right", 50);
    const committer = majority[0];
    await Promise.all(rights.map((command) => committer?.commit(command)));

    const apart: ClusterNode[] = [];
    const second = await appendWithoutQuorum("wrong again", 50, async () => {
      cluster.partition([majority]);
      const leader = await cluster.leader(majority);
      apart.splice(0, 1, ...majority.filter((node) => node !== leader).slice(0, 1));
      cluster.partition([majority.filter((node) => !apart.includes(node))]);
      return leader;
    });

    // The first partition returns, with the one node that can lead it.
    const returned = [...minority, ...apart];
    cluster.partition([returned]);
    expect(await cluster.leader(returned)).toBe(apart[0]);
    const later = names("later", 50);
    await Promise.all(later.map((command) => minority[0]?.commit(command)));
    cluster.heal();
    const { index } = await second.leader.commit("all together");
    const log = (await sameLog(index)).map((entry) => entry.command);
    expect(log).toEqual(expect.arrayContaining([...rights, ...later, "all together"]));
    for (const command of [...first.commands, ...second.commands]) expect(log).not.toContain(command);
  }, 60_000);
});
