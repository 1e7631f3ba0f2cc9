import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("./faulty-disk.c", import.meta.url));

/** A C compiler, and a system whose linker preloads a library. */
export const hasFaultyDisks = process.platform === "linux" && spawnSync("cc", ["--version"]).status === 0;

/** The calls that fail: `write` for write and pwrite, `sync` for fsync and fdatasync. */
export type DiskCall = "write" | "sync";

/** Makes the calls of one node's process fail, on real files. Only where `hasFaultyDisks`. */
export class FaultyDisk {
  /** For the options of a process. */
  readonly wrapper: readonly string[];
  readonly #folder: string;
  readonly #fault: string;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "raft-faults-"));
    this.#fault = join(this.#folder, "fault");
    const library = join(this.#folder, "faulty-disk.so");
    execFileSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"]);
    this.wrapper = ["env", `LD_PRELOAD=${library}`, `FAULTS_FILE=${this.#fault}`];
  }

  /** From now on these calls on the data directory's `file` fail. */
  fail(call: DiskCall, file: string, code: "EIO" | "ENOSPC" | "EROFS"): void {
    this.#set(`${call} ${file} ${constants.errno[code]}`);
  }

  /** From now on these calls do not return, until there is another fault or none. */
  hold(call: DiskCall, file: string): void {
    this.#set(`${call} ${file} 0`);
  }

  heal(): void {
    rmSync(this.#fault, { force: true });
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** At once: a call never reads half a line. */
  #set(fault: string): void {
    writeFileSync(`${this.#fault}.new`, fault);
    renameSync(`${this.#fault}.new`, this.#fault);
  }
}
