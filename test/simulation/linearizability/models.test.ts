import { describe, expect, it } from "vitest";
import { checkLinearizable } from "./checker.ts";
import type { Operation } from "./history.ts";
import { type KeyValueInput, type KeyValueOutput, keyValueModel, registerModel } from "./models.ts";

const done: KeyValueOutput = { kind: "done" };
const mismatch: KeyValueOutput = { kind: "mismatch" };
const found = (value: string): KeyValueOutput => ({ kind: "found", value });

/** One operation after the other; an undefined output is an unknown outcome. */
function inTurn(...calls: [KeyValueInput, KeyValueOutput | undefined][]): Operation<KeyValueInput, KeyValueOutput>[] {
  return calls.map(([input, output], i) => {
    const call = { client: "a", call: 2 * i, input };
    return output === undefined ? { ...call, return: undefined, output } : { ...call, return: 2 * i + 1, output };
  });
}

const read = (key: string): KeyValueInput => ({ kind: "read", key });
const write = (key: string, value: string): KeyValueInput => ({ kind: "write", key, value });
const append = (key: string, value: string): KeyValueInput => ({ kind: "append", key, value });
const swap = (key: string, expected: string, value: string): KeyValueInput => ({
  kind: "compareAndSet",
  key,
  expected,
  value,
});

function verdict(...calls: Parameters<typeof inTurn>): string {
  return checkLinearizable(keyValueModel, inTurn(...calls)).kind;
}

describe("a register", () => {
  it("starts with the value it is told", () => {
    const history = [
      { client: "a", call: 1, return: 2, input: { kind: "read" }, output: { kind: "found", value: 7 } },
    ] as const;
    expect(checkLinearizable(registerModel(7), history).kind).toBe("linearizable");
    expect(checkLinearizable(registerModel(), history).kind).toBe("notLinearizable");
  });
});

describe("a key-value store", () => {
  it("has an empty string under a key that was never written", () => {
    expect(verdict([read("x"), found("")])).toBe("linearizable");
    expect(verdict([swap("x", "", "1"), done], [read("x"), found("1")])).toBe("linearizable");
  });

  it("keeps keys apart", () => {
    expect(verdict([write("x", "1"), done], [read("y"), found("")])).toBe("linearizable");
    expect(verdict([write("x", "1"), done], [read("y"), found("1")])).toBe("notLinearizable");
  });

  it("appends to what is there", () => {
    expect(verdict([write("x", "1"), done], [append("x", "2"), done], [read("x"), found("12")])).toBe("linearizable");
    expect(verdict([append("x", "1"), done], [append("x", "2"), done], [read("x"), found("21")])).toBe(
      "notLinearizable",
    );
  });

  it("compares before it sets", () => {
    expect(verdict([write("x", "1"), done], [swap("x", "2", "3"), mismatch])).toBe("linearizable");
    expect(verdict([write("x", "1"), done], [swap("x", "2", "3"), done])).toBe("notLinearizable");
    expect(verdict([write("x", "1"), done], [swap("x", "1", "3"), mismatch])).toBe("notLinearizable");
  });

  it("lets unknown appends take effect in any order, each once", () => {
    const unknown = ["a", "b", "c", "d"].map((value): [KeyValueInput, undefined] => [append("x", value), undefined]);
    expect(verdict(...unknown, [read("x"), found("db")], [read("x"), found("dbac")])).toBe("linearizable");
    expect(verdict(...unknown, [read("x"), found("db")], [read("x"), found("dbab")])).toBe("notLinearizable");
  });

  it("names the key in what it says", () => {
    const bad = inTurn(
      [write("x", "1"), done],
      [append("y", "2"), undefined],
      [read("y"), found("2")],
      [read("y"), found("")],
    );
    const result = checkLinearizable(keyValueModel, bad);
    expect("explanation" in result && result.explanation).toMatchInlineSnapshot(`
      "not linearizable: completed operations without a place: 1; the longest order found:
        [2, ?] a: y: append "2" → ?
        [4, 5] a: y: read → "2"
      state: 2
      one of these would have to come next, the first one before its return, and none can:
        [6, 7] a: y: read → """
    `);
  });
});
