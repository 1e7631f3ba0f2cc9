import { expect, it } from "vitest";
import { decodeSessions } from "../../src/session/checkpoint.ts";

it.each<[string, number[]]>([
  ["a sequence that is there twice", [1, 1, 97, 2, 0, 9, 2, 1, 0, 1, 0, 0, 1]],
  ["a sequence above its client's last", [1, 1, 97, 2, 0, 9, 1, 3, 0, 1]],
  ["an entry before the first", [1, 1, 97, 2, 0, 9, 1, 1, 9, 1]],
  ["a client that is there twice", [2, 1, 97, 1, 1, 8, 0, 1, 97, 1, 1, 9, 0]],
  ["two clients that end with one entry", [2, 1, 97, 1, 1, 9, 0, 1, 98, 1, 1, 9, 0]],
])("bytes that no session table makes are refused, and break no invariant: %s", (_, bytes) => {
  expect(() => decodeSessions(Uint8Array.from(bytes))).toThrow(RangeError);
});

it("two clients, and the first and the last sequence that there can be, are read", () => {
  const table = decodeSessions(Uint8Array.from([2, 1, 97, 1, 0, 9, 1, 1, 8, 1, 1, 98, 3, 0, 8, 1, 3, 0, 1]));
  expect(table.find({ clientId: "a", sequence: 1 })).toEqual({ kind: "known", id: { index: 1, term: 1 } });
  expect(table.find({ clientId: "b", sequence: 3 })).toEqual({ kind: "known", id: { index: 8, term: 1 } });
});
