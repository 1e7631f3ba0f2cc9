import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { Cluster, type ClusterNode, closeClusters } from "../support/cluster.ts";
import type { LogLine } from "../support/sidecar-process.ts";
import { never, until } from "../support/wait.ts";

/** Long enough for several elections, had there been any. */
const SEVERAL_ELECTIONS_MS = 2_500;

afterEach(closeClusters);

function three(cluster: Cluster): readonly [ClusterNode, ClusterNode, ClusterNode] {
  const [n1, n2, n3] = cluster.nodes;
  if (n1 === undefined || n2 === undefined || n3 === undefined) throw new Error("three nodes at least");
  return [n1, n2, n3];
}

function refusals(node: ClusterNode, event: "refused a peer" | "refused by a peer", peer: ClusterNode): LogLine[] {
  return node.process.events(event).filter((line) => line["peer"] === peer.id);
}

/** Waits until `refused` was refused by `by`, for `reason`, and both have said so. */
async function refusedBy(by: ClusterNode, refused: ClusterNode, reason: string): Promise<string> {
  await until(
    () => `${by.id} refuses ${refused.id} for ${reason}: ${by.process.describe()}\n${refused.process.describe()}`,
    () => refusals(by, "refused a peer", refused).some((line) => line["reason"] === reason),
  );
  await until(
    () => `${refused.id} is told: ${refused.process.describe()}`,
    () => refusals(refused, "refused by a peer", by).some((line) => line["reason"] === reason),
  );
  return String(refusals(by, "refused a peer", refused).at(-1)?.["detail"]);
}

async function neverLeads(...nodes: readonly ClusterNode[]): Promise<void> {
  await never(`one of ${nodes.map((node) => node.id)} leads`, SEVERAL_ELECTIONS_MS, async () => {
    const states = await Promise.all(nodes.map((node) => node.state()));
    return states.some((state) => state?.isLeader);
  });
}

describe("a voter that comes back with an emptied directory", () => {
  it("is refused by every peer, never votes, says that it is not ready, and the others go on", async () => {
    const cluster = await Cluster.create({ size: 3 });
    const [n1, n2, n3] = three(cluster);
    await cluster.leader();
    await n1.commit("before");
    await n3.kill();
    rmSync(n3.dataDir, { recursive: true });
    await n3.start();

    for (const peer of [n1, n2])
      expect(await refusedBy(peer, n3, "INCARNATION_MISMATCH")).toContain("may have forgotten");
    const status = await n3.client.status();
    expect(status).toMatchObject({
      ready: false,
      notReadyReason: expect.stringMatching(/not yet met: n1 \(INCARNATION_MISMATCH.*, n2 \(INCARNATION_MISMATCH/),
    });
    expect((await fetch(`http://${n3.httpAddress}/readyz`)).status).toBe(503);

    const leader = await cluster.leader([n1, n2]);
    const { term } = await leader.commit("with two");
    // Were it to vote, this would be a quorum.
    await leader.kill();
    const lone = leader === n1 ? n2 : n1;
    await neverLeads(lone, n3);
    expect(await n3.state()).toMatchObject({ term: 0, last: 0, isLeader: false });

    await leader.start();
    await cluster.leader([n1, n2]);
    expect((await lone.commit("with two again")).term).toBeGreaterThanOrEqual(term);
    expect((await n3.client.status()).ready).toBe(false);
  }, 60_000);
});

describe("first starts whose --initial-cluster lists disagree", () => {
  it("never form a second quorum where the lists share a node", async () => {
    const cluster = await Cluster.create({ size: 5, stopped: true });
    const [n1, n2, n3] = three(cluster);
    const left = [n1, n2, n3];
    const right = cluster.others(n1, n2);
    for (const node of cluster.nodes) node.flags = cluster.flagsOf(node, right.includes(node) ? right : left);
    await Promise.all(cluster.nodes.map((node) => node.start()));

    const leader = await cluster.leader(right);
    expect(await refusedBy(n3, n1, "UNKNOWN_PEER")).toMatch(/check --initial-cluster.*theirs: n1, ours: n4,n5/);
    await refusedBy(n3, n2, "UNKNOWN_PEER");
    await leader.commit("in the only quorum");
    await neverLeads(n1, n2);
    for (const node of [n1, n2]) {
      expect(await node.state()).toMatchObject({ term: 0, last: 0 });
      expect((await node.client.status()).notReadyReason).toContain("n3");
    }
  }, 60_000);

  it("form none where each list is another", async () => {
    const cluster = await Cluster.create({ size: 3, stopped: true });
    const [n1, n2, n3] = three(cluster);
    n1.flags = cluster.flagsOf(n1, [n1, n2]);
    n2.flags = cluster.flagsOf(n2, [n2, n3]);
    n3.flags = cluster.flagsOf(n3, [n1, n2, n3]);
    await Promise.all(cluster.nodes.map((node) => node.start()));
    // Each side shows what the voters' lists hash to.
    expect(await refusedBy(n2, n3, "CLUSTER_MISMATCH")).toMatch(
      /--initial-cluster \(theirs: [0-9a-f]{64}, ours: [0-9a-f]{64}\)/,
    );
    await neverLeads(n1, n2, n3);
    for (const node of cluster.nodes) expect(await node.state()).toMatchObject({ term: 0, last: 0 });
  }, 60_000);
});

describe("a member of a working cluster that is started with other flags", () => {
  it("is refused, and the others go on", async () => {
    const cluster = await Cluster.create({ size: 3 });
    const [n1, n2, n3] = three(cluster);
    await cluster.leader();
    await n3.stop();
    const usual = n3.flags;
    const otherList = usual.map((flag) => (flag.startsWith("n1=") ? `${flag},n4=127.0.0.1:9` : flag));

    n3.flags = otherList;
    const changed = n3.launch();
    expect({ code: await changed.exited, stderr: changed.stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/n1, ?n2, ?n3, ?n4/),
    });
    expect(changed.stderr).toMatch(/n1, ?n2, ?n3(?!, ?n4)/);

    n3.flags = cluster.flagsOf(n3, cluster.nodes, "elsewhere");
    const foreign = n3.launch();
    expect({ code: await foreign.exited, stderr: foreign.stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/test.*elsewhere|elsewhere.*test/),
    });

    // In a new directory it would be a new node of another cluster.
    n3.flags = [...n3.flags, "--data-dir", join(cluster.folder, "new")];
    await n3.start();
    for (const peer of [n1, n2]) {
      expect(await refusedBy(peer, n3, "CLUSTER_MISMATCH")).toMatch(/theirs: elsewhere, ours: test/);
    }
    expect((await n3.client.status()).ready).toBe(false);
    await n3.stop();

    const { index } = await n1.commit("with two");
    n3.flags = usual;
    await n3.start();
    await cluster.allApplied(index);
  }, 60_000);
});
