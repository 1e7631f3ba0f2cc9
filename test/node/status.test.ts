import { describe, expect, it } from "vitest";
import { Directory } from "../simulation/disk.ts";
import type { Host } from "../simulation/host.ts";
import { DEFAULT_NODE, World } from "../simulation/world.ts";
import { isolate, leaderOf, NEVER, newWorld, nodeOf, others } from "./world.ts";

function reasonOf(host: Host): string {
  return nodeOf(host).status().notReadyReason;
}

describe("a node says why it is not ready", () => {
  it("until it has met all initial members: whom it misses, and who refuses it", () => {
    const world = new World({ seed: 1, size: 3, node: DEFAULT_NODE });
    const [one, two, three] = world.hosts;
    if (one === undefined || two === undefined || three === undefined) throw new Error("three hosts");
    one.start();
    world.run(1_000);
    expect(reasonOf(one)).toContain("not yet met: n2, n3");
    // Its first start names other voters.
    two.mounted = new Directory(new Uint8Array(16).fill(9), ["n1", "n2"]);
    two.start();
    world.run(3_000);
    expect(reasonOf(one)).toMatch(/n2 \(CLUSTER_MISMATCH: .*\), n3/);
  });

  it("when no leader has been known for seconds, and not at once", () => {
    const world = newWorld();
    const leader = leaderOf(world);
    const [follower = leader] = others(world, leader);
    world.run(100);
    isolate(world, follower);
    world.run(3_000);
    expect(reasonOf(follower)).toBe("");
    world.run(4_000);
    expect(reasonOf(follower)).toContain("no leader is known in term");
  });

  it("when it shuts down", () => {
    const world = newWorld();
    const leader = leaderOf(world);
    const { node } = leader.process ?? {};
    leader.process?.drain(NEVER);
    expect(node?.status().notReadyReason).toBe("it shuts down");
  });
});

it("a node lists all members in the order of their names, with what each has said of itself", () => {
  const world = new World({ seed: 1, size: 3, node: DEFAULT_NODE });
  const [one, two] = world.hosts;
  if (one === undefined || two === undefined) throw new Error("three hosts");
  one.start();
  two.start();
  world.run(2_000);
  const unknown = { clientAddress: "", incarnation: new Uint8Array(0) };
  expect(nodeOf(two).members()).toEqual([
    { id: "n1", peerAddress: "n1:7421", clientAddress: "n1:7420", incarnation: one.directory.incarnation },
    { id: "n2", peerAddress: "n2:7421", clientAddress: "n2:7420", incarnation: two.directory.incarnation },
    { id: "n3", peerAddress: "n3:7421", ...unknown },
  ]);
});
