import { expect, it } from "vitest";
import { OrderedFields } from "../../src/grpc/ordered-fields.ts";

const text = (length: number): Buffer => {
  const head = length < 128 ? [0x12, length] : [0x12, (length % 128) | 0x80, Math.floor(length / 128)];
  return Buffer.concat([Buffer.from(head), Buffer.alloc(length, "x")]);
};

it("a text that is longer than any may be is left to the generated code: byte by byte it would hold up everybody", () => {
  const allowed = new OrderedFields(text(256));
  expect(allowed.text(2)).toBe("x".repeat(256));
  expect(allowed.isDone).toBe(true);
  const long = new OrderedFields(text(257));
  expect(long.text(2)).toBe("");
  expect(long.isDone).toBe(false);
});
