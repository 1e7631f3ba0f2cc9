import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { joined, numberPart, textPart } from "../../src/frame/parts.ts";
import { CursorTable, decodeCursors, MAX_SUBSCRIBERS } from "../../src/session/cursor-table.ts";
import type { SubscriptionOp } from "../../src/session/subscription.ts";
import { anyName, anyOpOf } from "./support.ts";

/** Ops at the indexes that follow each other; numbers are small, so that cursors and generations meet them. */
const anyOps = fc.array(anyOpOf(fc.constantFrom("a", "b", "ü"), 12), { maxLength: 30 });

function tableOf(ops: readonly SubscriptionOp[], table = new CursorTable(), from = 1): CursorTable {
  for (const [i, op] of ops.entries()) table.apply(op, from + i);
  return table;
}

const open = (name: string, newCursor = 0): SubscriptionOp => ({ kind: "open", name, newCursor });
const acknowledge = (name: string, generation: number, cursor: number): SubscriptionOp => ({
  kind: "acknowledge",
  cursors: [{ name, generation, cursor }],
});
const remove = (name: string, upTo: number): SubscriptionOp => ({ kind: "remove", name, upTo });

describe("the cursors", () => {
  it("are equal at an equal index, also from a checkpoint in between on, names in their order included", () => {
    fc.assert(
      fc.property(anyOps, fc.nat(), (ops, at) => {
        const split = at % (ops.length + 1);
        const whole = tableOf(ops);
        const checkpoint = decodeCursors(tableOf(ops.slice(0, split)).encode());
        const resumed = tableOf(ops.slice(split), checkpoint, split + 1);
        expect(resumed.list()).toEqual(whole.list());
        expect(resumed.encode()).toEqual(whole.encode());
      }),
    );
  });

  it("never move back, nor beyond the entry that moves them, and generations only rise, until a name is removed", () => {
    fc.assert(
      fc.property(anyOps, (ops) => {
        const table = new CursorTable();
        for (const [i, op] of ops.entries()) {
          const before = table.list();
          table.apply(op, i + 1);
          for (const { name, cursor, generation } of before) {
            const after = table.get(name);
            if (after === undefined) expect(op.kind).toBe("remove");
            else expect([after.cursor >= cursor, after.generation >= generation]).toEqual([true, true]);
          }
          for (const { cursor, generation } of table.list()) {
            expect([cursor <= i, generation <= i + 1]).toEqual([true, true]);
          }
          expect(table.lowest).toBe(Math.min(...table.list().map(({ cursor }) => cursor)));
        }
      }),
    );
  });

  it("are moved by the newest stream alone, and an older one's acknowledgement in the same entry changes nothing", () => {
    const table = tableOf([open("a"), open("a"), acknowledge("a", 1, 1)]);
    expect(table.get("a")).toEqual({ name: "a", cursor: 0, generation: 2 });
    const both = [
      { name: "a", generation: 1, cursor: 3 },
      { name: "a", generation: 2, cursor: 2 },
    ];
    table.apply({ kind: "acknowledge", cursors: both }, 4);
    expect(table.get("a")).toEqual({ name: "a", cursor: 2, generation: 2 });
    table.apply(acknowledge("a", 2, 1), 5);
    table.apply(acknowledge("a", 2, 6), 6);
    table.apply(acknowledge("b", 2, 2), 7);
    expect(table.list()).toEqual([{ name: "a", cursor: 2, generation: 2 }]);
  });

  it("of a subscriber that is dropped stay when it has moved on, and begin anew after it was removed", () => {
    const table = tableOf([open("a"), open("b"), acknowledge("a", 1, 2), remove("a", 1)]);
    expect(table.get("a")?.cursor).toBe(2);
    table.apply(remove("a", 2), 5);
    expect(table.list()).toEqual([{ name: "b", cursor: 0, generation: 2 }]);
    expect(table.lowest).toBe(0);
    table.apply(acknowledge("a", 1, 4), 6);
    expect(table.get("a")).toBeUndefined();
    table.apply(open("a", 9), 7);
    expect(table.get("a")).toEqual({ name: "a", cursor: 6, generation: 7 });
  });

  it("are 1,000 at most: one more is not taken, one of them may open again, and a removed one makes room", () => {
    const names = Array.from({ length: MAX_SUBSCRIBERS }, (_, i) => open(`${i}`));
    const table = tableOf(names);
    expect(table.isFull).toBe(true);
    table.apply(open("one more"), 1_001);
    expect(table.get("one more")).toBeUndefined();
    table.apply(open("0"), 1_002);
    expect(table.get("0")?.generation).toBe(1_002);
    table.apply(remove("5", 0), 1_003);
    table.apply(open("one more"), 1_004);
    expect([table.get("one more")?.generation, table.list().length]).toEqual([1_004, MAX_SUBSCRIBERS]);
  });
});

describe("bytes that no table makes", () => {
  const row = (name: string) => joined([textPart(name), numberPart(3), numberPart(4)]);

  it("are refused when they are cut off, or go on", () => {
    fc.assert(
      fc.property(fc.uniqueArray(anyName, { minLength: 1, maxLength: 5 }), fc.nat(), (names, at) => {
        const table = new CursorTable(names.map((name, i) => ({ name, cursor: i, generation: i + 1 })));
        const bytes = table.encode();
        expect(decodeCursors(bytes).list()).toEqual(table.list());
        expect(() => decodeCursors(bytes.subarray(0, at % bytes.length))).toThrow(RangeError);
        expect(() => decodeCursors(joined([bytes, numberPart(0)]))).toThrow(RangeError);
      }),
    );
  });

  it.each<[string, Uint8Array]>([
    ["more subscribers than there are", joined([numberPart(2), row("a")])],
    ["one that is there twice", joined([numberPart(2), row("a"), row("a")])],
    ["one without a name", joined([numberPart(1), row("")])],
    ["one with too long a name", joined([numberPart(1), row("x".repeat(65))])],
  ])("are refused: %s", (_, bytes) => {
    expect(() => decodeCursors(bytes)).toThrow(RangeError);
  });

  it("break nothing, whatever they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeCursors(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
