import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Failure } from "../../src/failure.ts";
import { Members } from "../../src/node/members.ts";
import { type NodeOptions, PIPELINE } from "../../src/node/options.ts";
import { openSqliteStorage } from "../../src/storage/open.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { makeFolder, removeFolder } from "../storage/support.ts";
import { SNAPSHOT_OPTIONS } from "../support/snapshot-options.ts";

const ALL = ["n1", "n2", "n3"];

/** One start of a node, as far as it concerns who its members are. */
interface Started {
  readonly id: string;
  readonly members: Members;
  readonly storage: Storage;
}

describe("members that meet", () => {
  let folder: string;
  const open = new Set<Storage>();

  beforeEach(async () => {
    folder = await makeFolder();
  });

  afterEach(async () => {
    for (const storage of open) await storage.close();
    open.clear();
    await removeFolder(folder);
  });

  async function start(id: string, voters: readonly string[] = ALL): Promise<Started> {
    const dataDir = join(folder, id);
    const storage = await openSqliteStorage({ dataDir, nodeId: id, clusterId: "test", bootstrapVoters: [...voters] });
    open.add(storage);
    const members = new Members(
      optionsOf(id, voters),
      storage,
      () => new Uint8Array(0),
      () => {},
    );
    members.start();
    return { id, members, storage };
  }

  async function stop({ storage }: Started): Promise<void> {
    await storage.close();
    open.delete(storage);
  }

  /** Everybody dials everybody. */
  async function meetAll(nodes: readonly Started[]): Promise<void> {
    for (const dialer of nodes) {
      for (const dialed of nodes) if (dialer !== dialed) await meet(dialer, dialed);
    }
    await Promise.all(nodes.map(untilWritten));
  }

  it("take part once each has met all others, not before, and know it after a restart (PITFALL 56)", async () => {
    const nodes = await Promise.all(ALL.map((id) => start(id)));
    const [n1, n2, n3] = nodes;
    if (n1 === undefined || n2 === undefined || n3 === undefined) throw new Error("three nodes");
    await meetAll([n1, n2]);
    expect(nodes.map(({ members }) => members.isBootstrapped)).toEqual([false, false, false]);
    expect(n1.members.missing).toEqual(["n3"]);
    await meetAll(nodes);
    expect(nodes.map(({ members }) => members.isBootstrapped)).toEqual([true, true, true]);
    await stop(n1);
    expect((await start("n1")).members.isBootstrapped).toBe(true);
  });

  it("refuse one that comes back with an emptied directory, also after a restart, and it never takes part (PITFALL 56)", async () => {
    const nodes = await Promise.all(ALL.map((id) => start(id)));
    await meetAll(nodes);
    for (const node of nodes) await stop(node);
    await rm(join(folder, "n2"), { recursive: true });
    const [n1, n2, n3] = [await start("n1"), await start("n2"), await start("n3")];
    for (const peer of [n1, n3]) {
      expect((await meet(n2, peer))?.reason).toBe("INCARNATION_MISMATCH");
      expect((await meet(peer, n2))?.reason).toBe("INCARNATION_MISMATCH");
    }
    await untilWritten(n2);
    expect(n2.members.isBootstrapped).toBe(false);
    expect(n2.members.waitsFor).toContain("INCARNATION_MISMATCH");
    expect([n1, n3].map(({ members }) => members.isBootstrapped)).toEqual([true, true]);
  });

  it("let no second incarnation in while the first is being written (PITFALL 56)", async () => {
    const [n1, n2] = [await start("n1"), await start("n2")];
    const first = n2.members.introduce("n1");
    const answers = [first, { ...first, incarnation: Buffer.alloc(16, 9) }].map((handshake) =>
      answerTo(n1, handshake, undefined),
    );
    expect((await Promise.all(answers)).map((refusal) => refusal?.reason)).toEqual([undefined, "INCARNATION_MISMATCH"]);
  });

  it("refuse each other when their first starts named other voters, and form no quorum (PITFALL 56)", async () => {
    const nodes = [await start("n1"), await start("n2", ["n1", "n2"]), await start("n3", ["n2", "n3", "n4"])];
    await meetAll(nodes);
    expect(nodes.map(({ members }) => members.isBootstrapped)).toEqual([false, false, false]);
    const [n1, n2] = nodes;
    if (n1 === undefined || n2 === undefined) throw new Error("three nodes");
    expect((await meet(n1, n2))?.reason).toBe("CLUSTER_MISMATCH");
    expect(n1.members.waitsFor).toContain("CLUSTER_MISMATCH");
  });
});

type Handshake = ReturnType<Members["introduce"]>;

/** Why `node` refuses this handshake. */
function answerTo(node: Started, handshake: Handshake, dialed: string | undefined): Promise<Failure | undefined> {
  return new Promise((resolve) => node.members.check(handshake, dialed, resolve));
}

/** One connection: each side judges the other. Returns why it was refused. */
async function meet(dialer: Started, dialed: Started): Promise<Failure | undefined> {
  const refusedBy = await answerTo(dialed, dialer.members.introduce(dialed.id), undefined);
  if (refusedBy !== undefined) {
    dialer.members.onRefusedBy(dialed.id, refusedBy);
    return refusedBy;
  }
  const refused = await answerTo(dialer, dialed.members.introduce(dialer.id), dialed.id);
  if (refused === undefined) dialer.members.onMet(dialed.id);
  return refused;
}

/** Writes are done in order: after this one all earlier ones are. */
function untilWritten({ storage }: Started): Promise<void> {
  return new Promise((resolve) =>
    storage.write({ hardState: undefined, truncateFrom: undefined, frames: [] }, resolve),
  );
}

function optionsOf(id: string, voters: readonly string[]): NodeOptions {
  return {
    id,
    clusterId: "test",
    initialMembers: voters.map((member) => ({ id: member, peerAddress: `${member}:1` })),
    clientAddress: `${id}:2`,
    peerAddress: `${id}:1`,
    tickMs: 10,
    electionTimeoutMinMs: 400,
    electionTimeoutMaxMs: 800,
    heartbeatMs: 100,
    proposalTimeoutMs: 5_000,
    maxProposals: 100,
    maxProposalBytes: 1_000_000,
    maxReads: 100,
    cacheBytes: 1_000_000,
    ...PIPELINE,
    ...SNAPSHOT_OPTIONS,
  };
}
