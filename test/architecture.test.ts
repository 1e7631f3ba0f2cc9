import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

const root = new URL("../", import.meta.url);

it("each way in which a proposal can fail that ARCHITECTURE.md lists is a test that exists", () => {
  const text = readFileSync(new URL("ARCHITECTURE.md", root), "utf8");
  const rows = text.split("\n").filter((line) => /\| `[\w/-]+`: "[^"]+" \|$/.test(line));
  expect(rows.length).toBeGreaterThan(20);
  for (const row of rows) {
    const [, file = "", title = ""] = /`([\w/-]+)`: "([^"]+)" \|$/.exec(row) ?? [];
    const titles = readFileSync(new URL(`test/${file}.test.ts`, root), "utf8").split("\n");
    expect({ row, exists: titles.some((line) => line.includes(title)) }).toEqual({ row, exists: true });
  }
});
