import { expect, it } from "vitest";
import { FollowerNode, fetchedOf } from "./follower-node.ts";

const at = (index: number) => ({ index, term: 1 });

/** A node that has applied entries to 9; b was to send it a snapshot, and has fallen silent. */
function waiting(isNeeded: boolean): FollowerNode {
  const rig = new FollowerNode();
  rig.follow(9);
  rig.offer(at(isNeeded ? 50 : 5), isNeeded);
  return rig;
}

const asked = (rig: FollowerNode): string[] => rig.transport.fetched.map(({ from, last }) => `${from} ${last.index}`);

it.each([true, false])(
  "a snapshot that is needed is asked of a new leader, whoever else was asked before",
  (isNeeded) => {
    const rig = waiting(isNeeded);
    for (let i = 0; i < 3; i++) rig.offer(at(60), true, { from: "c", term: 2 });
    expect(asked(rig)).toEqual([isNeeded ? "b 50" : "b 5", "c 60"]);
    const { snapshot, keeps } = fetchedOf(at(60));
    rig.transport.fetched[1]?.done(snapshot);
    keeps[0]?.();
    rig.settle();
    expect(rig.node.state()).toMatchObject({ first: 61, applied: 60 });
    // What comes all the same is outdated.
    const late = fetchedOf(at(isNeeded ? 50 : 5));
    rig.transport.fetched[0]?.done(late.snapshot);
    late.keeps[0]?.();
    rig.settle();
    expect({ outcomes: rig.outcomes, discards: late.discards, fatal: rig.fatal }).toEqual({
      outcomes: ["taken", "SNAPSHOT_OUTDATED"],
      discards: 1,
      fatal: [],
    });
  },
);

it("a copy that nobody needs waits until nothing else is on its way", () => {
  const rig = waiting(true);
  rig.offer(at(5), false, { from: "c", term: 2 });
  expect(asked(rig)).toEqual(["b 50"]);
  rig.transport.fetched[0]?.done(new Error("nobody answers"));
  rig.clock.jump(1_000);
  rig.offer(at(5), false, { from: "c", term: 2 });
  expect(asked(rig)).toEqual(["b 50", "c 5"]);
});

it("two that are needed and come together are taken in in turn, the older one not after the newer", () => {
  const rig = waiting(true);
  rig.offer(at(60), true, { from: "c", term: 2 });
  const [older, newer] = [fetchedOf(at(50)), fetchedOf(at(60))];
  rig.transport.fetched[0]?.done(older.snapshot);
  rig.transport.fetched[1]?.done(newer.snapshot);
  older.keeps[0]?.();
  rig.settle();
  expect(rig.node.state()).toMatchObject({ first: 51, applied: 50 });
  newer.keeps[0]?.();
  rig.settle();
  expect(rig.node.state()).toMatchObject({ first: 61, applied: 60 });
  expect(rig.outcomes).toEqual(["taken", "taken"]);
});
