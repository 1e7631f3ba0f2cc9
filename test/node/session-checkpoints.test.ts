import { describe, expect, it } from "vitest";
import { LogTables } from "../../src/node/log-tables.ts";
import type { NodeOptions } from "../../src/node/options.ts";
import { SessionCheckpoints } from "../../src/node/session-checkpoints.ts";
import { CursorTable } from "../../src/session/cursor-table.ts";
import { SessionTable } from "../../src/session/session-table.ts";
import { HeldStorage, nodeOptions } from "./support.ts";

/** The checkpoints of a node whose table takes in one entry after the other. */
class Taker {
  readonly storage = new HeldStorage();
  readonly checkpoints: SessionCheckpoints;
  readonly #table = new SessionTable();
  #index = 0;

  constructor(options: Partial<NodeOptions>) {
    this.checkpoints = new SessionCheckpoints(
      new LogTables(this.#table, new CursorTable()),
      0,
      0,
      this.storage,
      nodeOptions(options),
    );
  }

  get saved(): number[] {
    return this.storage.checkpoints.map(({ index }) => index);
  }

  /** Entries of so many bytes, each of a client of its own. */
  take(count: number, bytes = 10): void {
    for (let i = 0; i < count; i++) {
      const index = ++this.#index;
      this.#table.add({ clientId: `client ${index}`, sequence: 1 }, { index, term: 1 });
      this.checkpoints.onTaken(index, bytes);
    }
  }

  /** Turns in which all that can be done is done, each entry in its own. */
  run(count: number, bytes?: number): number[] {
    for (let i = 0; i < count; i++) {
      this.take(1, bytes);
      while (this.checkpoints.advance());
      this.storage.sync();
    }
    return this.saved;
  }
}

describe("a checkpoint of the sessions", () => {
  it("is made once for so many entries, by each node at other indexes", () => {
    const saved = ["a", "b", "c"].map((id) => new Taker({ id, sessionCheckpointEntries: 9 }).run(30));
    expect(saved).toEqual([
      [9, 18, 27],
      [6, 15, 24],
      [3, 12, 21, 30],
    ]);
  });

  it("is made after so many bytes of the log, and sixteen times its own, by each node at other indexes", () => {
    const bounds = { sessionCheckpointEntries: 1_000_000, sessionCheckpointBytes: 9_000 };
    const saved = ["a", "b", "c"].map((id) => new Taker({ id, ...bounds }).run(30, 1_000));
    expect(saved.map(([first]) => first)).toEqual([9, 6, 3]);
    const [, second = 0] = saved[0] ?? [];
    // Nine clients take some 15 bytes each: sixteen times that is two entries more.
    expect(second).toBeGreaterThanOrEqual(9 + 9 + 2);
    const later = new Taker({ ...bounds }).run(60, 1_000);
    for (const [i, index] of later.slice(1).entries()) {
      expect(index - (later[i] ?? 0)).toBeGreaterThan((later[i] ?? 0) - (later[i - 1] ?? 0));
    }
  });

  it("takes as many turns as its entries need, and says that there is more to do", () => {
    const taker = new Taker({ sessionCheckpointEntries: 100, sessionEncodeEntries: 10 });
    taker.take(100);
    let turns = 1;
    while (taker.checkpoints.advance()) turns++;
    // Each client counts for one more than its entry.
    expect(turns).toBe(20);
    expect(taker.saved).toEqual([100]);
    expect(taker.checkpoints.advance()).toBe(false);
  });

  it("is not begun while the one before is made, or on its way to the disk", () => {
    const taker = new Taker({ sessionCheckpointEntries: 10, sessionEncodeEntries: 1 });
    taker.take(25);
    while (taker.checkpoints.advance());
    taker.take(10);
    expect(taker.checkpoints.advance()).toBe(false);
    expect(taker.saved).toEqual([10]);
    taker.storage.sync();
    taker.take(1);
    while (taker.checkpoints.advance());
    expect(taker.saved).toEqual([10, 36]);
  });
});
