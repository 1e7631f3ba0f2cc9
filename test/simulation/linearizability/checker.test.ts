import { describe, expect, it } from "vitest";
import { InvariantError } from "../../../src/assert.ts";
import { checkLinearizable } from "./checker.ts";
import type { History, Operation } from "./history.ts";
import { type RegisterInput, type RegisterOutput, registerModel } from "./models.ts";
import { isLinearizableByDefinition, withoutShortcuts } from "./reference.ts";

type RegisterHistory = History<RegisterInput, RegisterOutput>;
/** Of one operation: its call and its return; no return: what became of it is unknown. */
type Times = readonly [call: number, returned?: number];

function operation(
  client: string,
  [call, returned]: Times,
  input: RegisterInput,
  output: RegisterOutput,
): Operation<RegisterInput, RegisterOutput> {
  if (returned === undefined) return { client, call, input, return: undefined, output: undefined };
  return { client, call, input, return: returned, output };
}

const write = (client: string, times: Times, value: number) =>
  operation(client, times, { kind: "write", value }, { kind: "done" });
const read = (client: string, times: Times, value: number) =>
  operation(client, times, { kind: "read" }, { kind: "found", value });
const swap = (client: string, times: Times, expected: number, value: number) =>
  operation(client, times, { kind: "compareAndSet", expected, value }, { kind: "done" });
const noSwap = (client: string, times: Times, expected: number, value: number) =>
  operation(client, times, { kind: "compareAndSet", expected, value }, { kind: "mismatch" });

const linearizable: Record<string, RegisterHistory> = {
  "nothing at all": [],
  "one client's reads of its own writes": [write("a", [1, 2], 1), read("a", [3, 4], 1), write("a", [5, 6], 2)],
  "a read during a write that finds the old value": [write("a", [1, 9], 1), read("b", [2, 3], 0)],
  "reads during a write that find the old value, then the new one": [
    write("a", [1, 9], 1),
    read("b", [2, 3], 0),
    read("b", [4, 5], 1),
  ],
  "concurrent writes that take effect in the order opposite to that of their calls": [
    write("a", [1, 10], 1),
    write("b", [2, 9], 2),
    read("c", [11, 12], 1),
  ],
  "an operation called at the time at which another returned: they are concurrent": [
    write("a", [1, 5], 1),
    read("b", [5, 6], 0),
  ],
  "two concurrent compare-and-sets of which one finds the other's value": [
    swap("a", [1, 9], 0, 1),
    noSwap("b", [2, 8], 0, 2),
    read("c", [10, 11], 1),
  ],
  "an unknown write that never takes effect": [write("a", [1], 1), read("b", [2, 3], 0), read("b", [90, 91], 0)],
  "an unknown write that takes effect late": [
    write("a", [1], 1),
    read("b", [2, 3], 0),
    write("b", [4, 5], 2),
    read("b", [6, 7], 2),
    read("b", [90, 91], 1),
  ],
  "an unknown write that takes effect after a later operation of its client": [
    write("a", [1], 1),
    write("a", [5, 6], 2),
    read("b", [7, 8], 1),
  ],
  "an unknown compare-and-set that acts on an unknown write": [
    write("a", [1], 1),
    swap("b", [2], 1, 2),
    read("c", [3, 4], 0),
    read("c", [5, 6], 2),
  ],
  "a compare-and-set that fails for an unknown write that nobody reads": [
    write("a", [1], 7),
    noSwap("b", [2, 3], 0, 2),
    write("b", [4, 5], 3),
    read("b", [6, 7], 3),
  ],
  "two unknown operations of which one, and not the first called, must be kept for later": [
    write("a", [1], 1),
    swap("b", [2], 0, 1),
    read("c", [3, 4], 1),
    write("c", [5, 6], 5),
    read("c", [7, 8], 1),
  ],
  "an unknown read": [write("a", [1, 2], 1), read("b", [3], 8)],
};

const notLinearizable: Record<string, RegisterHistory> = {
  "a stale read": [write("a", [1, 2], 1), write("a", [3, 4], 2), read("b", [5, 6], 1)],
  "a lost update: both compare-and-sets from the same value succeed": [
    swap("a", [1, 9], 0, 1),
    swap("b", [2, 8], 0, 2),
  ],
  "a lost write": [write("a", [1, 2], 1), read("b", [3, 4], 0)],
  "a value that was never written": [write("a", [1, 9], 1), read("b", [2, 3], 2)],
  "a value that is read before its write is called": [read("b", [1, 2], 1), write("a", [3, 4], 1)],
  "a write that is seen, then unseen, while it is under way": [
    write("a", [1, 9], 1),
    read("b", [2, 3], 1),
    read("c", [4, 5], 0),
  ],
  "two readers that see concurrent writes in opposite orders": [
    write("a", [1, 20], 1),
    write("b", [1, 20], 2),
    read("c", [2, 3], 1),
    read("c", [6, 7], 2),
    read("d", [8, 9], 1),
  ],
  "an order that each client could believe in, but against real time": [
    write("a", [1, 2], 1),
    write("b", [3, 4], 2),
    read("c", [5, 6], 1),
    read("c", [7, 8], 2),
  ],
  "a compare-and-set that fails though its value was there all the time": [
    write("a", [1, 2], 1),
    noSwap("b", [3, 4], 1, 2),
  ],
  "an unknown write that is observed, then un-observed": [
    write("a", [1], 1),
    read("b", [2, 3], 0),
    read("b", [4, 5], 1),
    read("c", [6, 7], 0),
  ],
  "an unknown write that takes effect twice": [
    write("a", [1], 1),
    read("b", [2, 3], 1),
    write("b", [4, 5], 2),
    read("b", [6, 7], 1),
  ],
  "an unknown write that is observed before its call": [read("b", [1, 2], 1), write("a", [3], 1)],
  "an unknown compare-and-set whose value was never there": [swap("a", [1], 5, 6), read("b", [2, 3], 6)],
};

describe("the checker", () => {
  it.each(Object.entries(linearizable))("accepts %s", (_, history) => {
    expect(isLinearizableByDefinition(registerModel(), history)).toBe(true);
    expect(checkLinearizable(registerModel(), history).kind).toBe("linearizable");
    expect(checkLinearizable(withoutShortcuts(registerModel()), history).kind).toBe("linearizable");
  });

  it.each(Object.entries(notLinearizable))("rejects %s", (_, history) => {
    expect(isLinearizableByDefinition(registerModel(), history)).toBe(false);
    expect(checkLinearizable(registerModel(), history).kind).toBe("notLinearizable");
    expect(checkLinearizable(withoutShortcuts(registerModel()), history).kind).toBe("notLinearizable");
  });

  it("does not care in which order the operations are listed", () => {
    for (const history of Object.values(notLinearizable)) {
      expect(checkLinearizable(registerModel(), [...history].reverse()).kind).toBe("notLinearizable");
    }
    for (const history of Object.values(linearizable)) {
      expect(checkLinearizable(registerModel(), [...history].reverse()).kind).toBe("linearizable");
    }
  });

  it("says how far an order goes, and which operations can't come next", () => {
    const lost = read("c", [12, 14], 0);
    const late = read("d", [13, 20], 5);
    const history = [
      write("a", [1, 2], 1),
      write("b", [3], 2),
      read("c", [10, 11], 2),
      late,
      lost,
      read("a", [30, 31], 2),
    ];
    const verdict = checkLinearizable(registerModel(), history);
    expect(verdict).toMatchObject({ kind: "notLinearizable", longest: history.slice(0, 3), stuck: [lost, late] });
    expect("explanation" in verdict && verdict.explanation.split("\n")).toEqual([
      "not linearizable: completed operations without a place: 3; the longest order found:",
      "  [1, 2] a: write 1 → done",
      "  [3, ?] b: write 2 → ?",
      "  [10, 11] c: read → 2",
      "state: 2",
      "one of these would have to come next, the first one before its return, and none can:",
      "  [12, 14] c: read → 0",
      "  [13, 20] d: read → 5",
    ]);
  });

  it("gives up, and says so, when the work is more than allowed", () => {
    // Twelve concurrent writes: too many orders for a model without shortcuts to be shown wrong in little work.
    const writes = Array.from({ length: 12 }, (_, i) => write(`c${i}`, [1, 9], i + 1));
    const history = [...writes, read("d", [10, 11], 99)];
    const model = withoutShortcuts(registerModel());
    expect(checkLinearizable(model, history, { maxWork: 1000 }).kind).toBe("unknown");
    expect(checkLinearizable(model, history).kind).toBe("notLinearizable");
  });

  it("refuses an operation that returns before its call", () => {
    expect(() => checkLinearizable(registerModel(), [read("a", [2, 1], 0)])).toThrow(InvariantError);
  });
});
