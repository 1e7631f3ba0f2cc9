import { describe, expect, it } from "vitest";
import { seededRandom } from "../../support/core.ts";
import { PlacedSet, Visited } from "./placed-set.ts";

/** Enough for some of 32-bit hashes to be equal. */
const MANY = 200_000;

describe("the configurations visited", () => {
  it("are told apart by their states, though hashes collide", () => {
    const visited = new Visited();
    const placed = new PlacedSet(1, 0);
    let added = 0;
    for (let stateId = 0; stateId < MANY; stateId++) if (visited.add(placed, stateId)) added++;
    expect(visited.compared).toBeGreaterThan(0);
    expect(added).toBe(MANY);
  });

  it("are told apart by the completed operations placed, though hashes collide", () => {
    const random = seededRandom(1);
    const visited = new Visited();
    const placed = new PlacedSet(64, 0);
    const seen = new Set<string>();
    let added = 0;
    for (let i = 0; i < MANY; i++) {
      placed.toggleCompleted(random(64));
      seen.add(placed.words.join());
      if (visited.add(placed, 0)) added++;
    }
    expect(visited.compared).toBeGreaterThan(0);
    expect(added).toBe(seen.size);
  });

  it("make one useless that used the same unknown operations and more, and no other", () => {
    const visited = new Visited();
    const using = (...unknown: number[]) => {
      const placed = new PlacedSet(3, 40);
      placed.toggleCompleted(1);
      for (const operation of unknown) placed.toggleUnknown(operation);
      return placed;
    };
    expect(visited.add(using(2, 35), 0)).toBe(true);
    expect(visited.add(using(2, 35), 0)).toBe(false);
    expect(visited.add(using(2, 3, 35), 0)).toBe(false);
    expect(visited.add(using(2, 3), 0)).toBe(true);
    expect(visited.add(using(35), 0)).toBe(true);
    expect(visited.add(using(), 1)).toBe(true);
  });
});
