import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("./recorder.c", import.meta.url));

/** A C compiler, and a system whose linker preloads a library. */
export const hasRecorder = process.platform === "linux" && spawnSync("cc", ["--version"]).status === 0;

/** Records what processes do to the files under one directory, all in one journal. Only where `hasRecorder`. */
export class Recorder {
  /** Existed before anything was recorded. */
  readonly root: string;
  /** A command that is given the command of a process to be recorded. */
  readonly wrapper: readonly string[];
  readonly #folder: string;
  readonly #journal: string;

  constructor(root: string) {
    this.root = realpathSync(root);
    this.#folder = mkdtempSync(join(tmpdir(), "raft-recorder-"));
    this.#journal = join(this.#folder, "journal");
    writeFileSync(this.#journal, "");
    const library = join(this.#folder, "recorder.so");
    execFileSync("cc", ["-shared", "-fPIC", "-pthread", "-O1", "-o", library, SOURCE]);
    this.wrapper = ["env", `LD_PRELOAD=${library}`, `RECORDER_JOURNAL=${this.#journal}`, `RECORDER_ROOT=${this.root}`];
  }

  /** How many bytes the journal has: what a process has done by now, and what made it do so, is before it. */
  get position(): number {
    return statSync(this.#journal).size;
  }

  /** kill -9 between two calls of a recorded process, as soon as it writes something. */
  kill(pid: number): void {
    writeFileSync(`${this.#journal}.kill-${pid}`, "");
  }

  journal(): Buffer {
    return readFileSync(this.#journal);
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
