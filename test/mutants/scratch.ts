import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Mutant, mutated } from "./mutant.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const COPIED = ["src", "gen", "test", "proto", "package.json", "tsconfig.json", "vitest.config.ts"];

export function readSource(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

/** A copy of the tree in which mutants are made, one at a time. */
export class Scratch {
  readonly folder = mkdtempSync(join(tmpdir(), "raft-mutants-"));

  constructor() {
    for (const name of COPIED) cpSync(join(ROOT, name), join(this.folder, name), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(this.folder, "node_modules"));
  }

  /** Runs `test` with the mutant in place. */
  async with<T>(mutant: Mutant, test: () => Promise<T>): Promise<T> {
    const path = join(this.folder, mutant.file);
    const source = readFileSync(path, "utf8");
    writeFileSync(path, mutated(source, mutant));
    try {
      return await test();
    } finally {
      writeFileSync(path, source);
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
