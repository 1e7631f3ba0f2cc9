import { describe, expect, it } from "vitest";
import { assert } from "../../src/assert.ts";
import { Failure } from "../../src/failure.ts";
import { encodeFrame } from "../../src/frame/codec.ts";
import type { NodeOptions } from "../../src/node/options.ts";
import { EntryType } from "../../src/raft/types.ts";
import { CursorTable, type Subscription } from "../../src/session/cursor-table.ts";
import { encodeSubscriptionOp } from "../../src/session/subscription.ts";
import { diskTo, FollowerNode, namedCommands, ownStateOf, recordOf } from "./follower-node.ts";
import { batchOf } from "./support.ts";

const MIB = 1024 * 1024;

/** A node that leads a cluster of itself, keeps 100 entries for a subscriber, and drops who needs more. */
function alone(options: Partial<NodeOptions> = {}, recovered: ConstructorParameters<typeof FollowerNode>[0] = {}) {
  const rig = new FollowerNode(
    { bootstrapVoters: ["a"], ...recovered },
    {
      initialMembers: [{ id: "a", peerAddress: "a:1" }],
      maxProposals: 10_000,
      maxProposalBytes: 100 * MIB,
      retainEntries: 100,
      retentionPolicy: "drop-subscriber",
      ...options,
    },
  );
  pass(rig, 400);
  expect(rig.node.state().role).toBe("leader");
  return rig;
}

function pass(rig: FollowerNode, ms: number): void {
  for (let i = 0; i < ms; i += 50) {
    rig.clock.advance(50);
    rig.settle();
  }
}

function open(rig: FollowerNode, name: string, newCursor: number): Subscription {
  let opened: Subscription | Failure | undefined;
  rig.node.subscriptions.open(name, newCursor, (result) => {
    opened = result;
  });
  rig.settle();
  assert(opened !== undefined && !(opened instanceof Failure), `${name} is opened`);
  return opened;
}

/** Commits so many commands. */
function commit(rig: FollowerNode, count: number, bytes = 1): void {
  const batch = batchOf(count, { commands: Array.from({ length: count }, () => new Uint8Array(bytes)) });
  rig.node.propose(batch);
  rig.settle();
  expect(batch.answers).toHaveLength(1);
}

function acknowledge(rig: FollowerNode, { name, generation }: Subscription, cursor: number): void {
  rig.node.subscriptions.acknowledge({ name, generation, cursor }, () => {});
  pass(rig, 300);
}

const namesOf = (rig: FollowerNode): string[] => rig.node.subscriptions.list().map(({ name }) => name);
const toldOf = (rig: FollowerNode): string[] => rig.retentionEvents.map(({ level, slowest }) => `${level} ${slowest}`);
const levelOf = (rig: FollowerNode): string => rig.node.status().retention.level;

describe("a subscriber that needs more than is kept", () => {
  it("is dropped by an entry, after that was told: when four fifths are used, and when all is", () => {
    const rig = alone();
    open(rig, "slow", 0);
    commit(rig, 60);
    pass(rig, 1_100);
    expect([levelOf(rig), toldOf(rig)]).toEqual(["well", []]);
    commit(rig, 20);
    pass(rig, 1_100);
    expect([levelOf(rig), toldOf(rig), namesOf(rig)]).toEqual(["near", ["near slow"], ["slow"]]);
    commit(rig, 20);
    expect(levelOf(rig)).toBe("over");
    // Told of at the next look, and acted upon at the one after that.
    while (toldOf(rig).length < 2) {
      expect(namesOf(rig)).toEqual(["slow"]);
      pass(rig, 50);
    }
    pass(rig, 900);
    expect([toldOf(rig), namesOf(rig)]).toEqual([["near slow", "over slow"], ["slow"]]);
    pass(rig, 200);
    expect(namesOf(rig)).toEqual([]);
    pass(rig, 1_000);
    expect(toldOf(rig)).toEqual(["near slow", "over slow", "well "]);
  });

  it("is told of by its name, also when the one before it was dropped a moment ago", () => {
    const rig = alone();
    const slow = open(rig, "slow", 0);
    open(rig, "slower", 0);
    acknowledge(rig, slow, 2);
    commit(rig, 200);
    pass(rig, 5_000);
    expect(toldOf(rig)).toEqual(["over slower", "over slow", "well "]);
    expect(namesOf(rig)).toEqual([]);
  });

  it("and goes on in time is kept", () => {
    const rig = alone();
    const slow = open(rig, "slow", 0);
    commit(rig, 150);
    pass(rig, 1_000);
    expect(toldOf(rig)).toEqual(["over slow"]);
    acknowledge(rig, slow, 140);
    pass(rig, 3_000);
    expect([namesOf(rig), toldOf(rig)]).toEqual([["slow"], ["over slow", "well slow"]]);
  });

  it("is kept when compaction is to be blocked, and it is told", () => {
    const rig = alone({ retentionPolicy: "block-compaction" });
    open(rig, "slow", 0);
    commit(rig, 150);
    pass(rig, 5_000);
    expect([namesOf(rig), toldOf(rig)]).toEqual([["slow"], ["over slow"]]);
  });

  it("is dropped by nobody but the leader", () => {
    const rig = new FollowerNode(
      {},
      {
        retainEntries: 5,
        retentionPolicy: "drop-subscriber",
        electionTimeoutMinMs: 100_000,
        electionTimeoutMaxMs: 190_000,
      },
    );
    rig.follow(9);
    const payload = encodeSubscriptionOp({ kind: "open", name: "slow", newCursor: 0 });
    rig.append([encodeFrame({ index: 10, term: 1 }, EntryType.subscription, [payload])]);
    rig.settle();
    for (let i = 0; i < 5; i++) {
      rig.clock.jump(1_100);
      rig.offer({ index: 1, term: 1 }, false);
      rig.settle();
    }
    expect(toldOf(rig)).toEqual(["over slow"]);
    expect(rig.transport.forwarded).toEqual([]);
  });
});

describe("what is kept for a subscriber", () => {
  const full = (rig: FollowerNode, usedBytes: number): void =>
    rig.storage.onUsage({ freeBytes: 1e12, limitBytes: 0, totalBytes: 2e12, usedBytes });

  it("is what follows its cursor: a log that is large for other reasons drops nobody", () => {
    const rig = alone({ retainEntries: 1_000_000, retainBytes: 64 * MIB, cacheBytes: 1024 * MIB });
    for (let i = 0; i < 10; i++) commit(rig, 10, MIB);
    full(rig, 100 * MIB);
    const quick = open(rig, "quick", rig.node.state().applied);
    pass(rig, 3_000);
    expect([levelOf(rig), toldOf(rig), namesOf(rig)]).toEqual(["well", [], ["quick"]]);
    for (let i = 0; i < 6; i++) commit(rig, 10, MIB);
    pass(rig, 1_100);
    expect([levelOf(rig), namesOf(rig)]).toEqual(["near", ["quick"]]);
    acknowledge(rig, quick, rig.node.state().applied - 20);
    pass(rig, 1_100);
    expect(levelOf(rig)).toBe("well");
    for (let i = 0; i < 5; i++) commit(rig, 10, MIB);
    pass(rig, 3_000);
    expect([namesOf(rig), toldOf(rig)]).toEqual([[], ["near quick", "well quick", "over quick", "well "]]);
  });

  it("is all that the disk holds when the log before this process's start is needed", () => {
    const rig = alone(
      { retainEntries: 1_000_000, retainBytes: 64 * MIB },
      {
        ...diskTo(6),
        base: { index: 5, term: 1 },
        termStarts: [{ index: 6, term: 1 }],
        snapshots: [
          recordOf(
            { index: 6, term: 1 },
            ownStateOf({
              voters: ["a"],
              cursors: new CursorTable([{ name: "old", cursor: 5, generation: 4 }]).encode(),
            }),
          ),
        ],
      },
    );
    expect(levelOf(rig)).toBe("well");
    full(rig, 65 * MIB);
    expect(levelOf(rig)).toBe("over");
  });

  it("is nothing of what was cut off before: who begins with the snapshot is not dropped for it", () => {
    const rig = alone({ catchUpEntries: 5, minCompactedEntries: 1 });
    commit(rig, 300);
    rig.put(290);
    expect(rig.node.state().first).toBe(286);
    open(rig, "new", 0);
    pass(rig, 3_000);
    expect([levelOf(rig), namesOf(rig), toldOf(rig)]).toEqual(["well", ["new"], []]);
    expect(rig.node.status().retention.lagEntries).toBeGreaterThan(290);
  });
});

describe("a log is not cut off", () => {
  it("beyond the cursor of the slowest durable subscriber, until that moves or is removed", () => {
    const rig = alone({ retentionPolicy: "block-compaction", catchUpEntries: 1, minCompactedEntries: 1 });
    const [one, other] = [open(rig, "one", 0), open(rig, "other", 0)];
    commit(rig, 50);
    acknowledge(rig, one, 30);
    acknowledge(rig, other, 20);
    rig.put(40);
    expect(rig.node.compact(0)).toBe(21);
    acknowledge(rig, other, 35);
    expect(rig.node.compact(0)).toBe(31);
    rig.node.subscriptions.remove("one", 1_000, () => {});
    rig.settle();
    expect(rig.node.compact(0)).toBe(36);
  });

  it("after a start, before it is read who needs it: an entry after the checkpoint may say so", () => {
    const last = 6_000;
    const payload = encodeSubscriptionOp({ kind: "open", name: "s", newCursor: 10 });
    const rig = new FollowerNode(
      { ...diskTo(last + 1), snapshots: [recordOf({ index: 3_000, term: 1 })] },
      { catchUpEntries: 100 },
    );
    // All is committed, and the disk is slow to read what follows the snapshot.
    rig.receive({ prev: { index: last + 1, term: 1 }, leaderCommit: last + 1 });
    rig.clock.settle();
    expect(rig.storage.bases).toEqual([]);
    rig.entries.push(namedCommands(2, last - 1, 1));
    rig.entries.push(encodeFrame({ index: last + 1, term: 1 }, EntryType.subscription, [payload]));
    rig.settle();
    expect(rig.node.subscriptions.list()).toMatchObject([{ name: "s", cursor: 10 }]);
    expect(rig.storage.bases.every(({ index }) => index <= 10)).toBe(true);
    expect(rig.fatal).toEqual([]);
  });
});
