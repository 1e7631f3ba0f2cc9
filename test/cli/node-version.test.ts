import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { nodeVersionProblem } from "../../src/cli/node-version.ts";

const SOURCES = fileURLToPath(new URL("../../src/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "old-node-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("needs Node 24 or newer", () => {
  expect(nodeVersionProblem("20.20.2")).toContain("needs Node 24 or newer, this is 20.20.2");
  expect(nodeVersionProblem("23.99.0")).toBeDefined();
  expect(nodeVersionProblem("24.0.0")).toBeUndefined();
  expect(nodeVersionProblem("100.0.0")).toBeUndefined();
});

// Shown as skipped on machines without one.
const oldNode = findOldNode();

it.skipIf(oldNode === undefined)("says so and exits 1 on an old Node, before anything else loads", () => {
  // Only these two files: were another loaded first, it would be missing here.
  for (const file of ["main", "cli/node-version"]) {
    const code = stripTypeScriptTypes(readFileSync(join(SOURCES, `${file}.ts`), "utf8")).replaceAll('.ts"', '.js"');
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, `${file}.js`), code);
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const { status, stderr } = spawnSync(oldNode ?? "", [join(folder, "main.js"), "serve"], { encoding: "utf8" });
  expect(stderr).toMatch(/^raft-sidecar needs Node 24 or newer, this is \d+\.\d+\.\d+\. .*\n$/);
  expect(status).toBe(1);
});

function findOldNode(): string | undefined {
  for (const candidate of ["/usr/bin/node", "/usr/local/bin/node"]) {
    try {
      const version = execFileSync(candidate, ["--version"], { encoding: "utf8" }).trim().slice(1);
      if (nodeVersionProblem(version) !== undefined) return candidate;
    } catch {
      // Not there.
    }
  }
  return undefined;
}
