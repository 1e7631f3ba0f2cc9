import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { makeFolder, OWNER, removeFolder } from "../storage/support.ts";
import { type Opened, openWhole } from "./opened.ts";
import { Recorder } from "./recorder.ts";
import { recordingOf } from "./recording.ts";
import { digestOf, Expected } from "./script.ts";
import type { Workload } from "./workload.ts";

const CHILD = fileURLToPath(new URL("./child.ts", import.meta.url));

/** For each process how many turns are done when it ends, all in all, and how it ends. */
const ROUNDS = [
  { turns: 60, isKilled: true },
  { turns: 200, isKilled: false },
  { turns: 330, isKilled: true },
  { turns: 340, isKilled: true },
  { turns: 420, isKilled: false },
] as const;

/** A process that is to be killed has more to do. */
const TURNS_BEYOND = 100;

/** In the journal's order: so many steps were reported done before it had `position` bytes. */
interface Report {
  readonly position: number;
  readonly steps: number;
}

/**
 * The storage alone, from an empty directory on, with everything that a node can ask of it and rarely does: sessions,
 * members, snapshots, truncations, a log that is cut off or replaced, and a vote in each turn. It must hold exactly what a prefix of its script leaves.
 */
export async function recordStorage(): Promise<Workload> {
  const root = await makeFolder();
  const recorder = new Recorder(root);
  try {
    const reports: Report[] = [];
    const expected = new Expected(Math.max(...ROUNDS.map(({ turns }) => turns)) + TURNS_BEYOND);
    for (const { turns, isKilled } of ROUNDS) {
      await runChild(recorder, isKilled ? turns + TURNS_BEYOND : turns, (steps, pid) => {
        reports.push({ position: recorder.position, steps });
        if (isKilled && steps >= expected.stepsWithWrite(turns)) recorder.kill(pid);
      });
    }
    return {
      recording: recordingOf(recorder),
      promised: reports.length,
      losses: (folder, position) => losses(join(folder, "data"), expected, stepsBefore(reports, position)),
    };
  } finally {
    recorder.close();
    await removeFolder(root);
  }
}

async function runChild(recorder: Recorder, turns: number, onStep: (steps: number, pid: number) => void) {
  const [command = "", ...args] = [...recorder.wrapper, process.execPath, CHILD, join(recorder.root, "data")];
  const child = spawn(command, [...args, String(turns)], { stdio: ["pipe", "pipe", "inherit"] });
  createInterface(child.stdout).on("line", (line) => onStep(Number(line), child.pid ?? 0));
  const [code] = await once(child, "close");
  if (code !== 0 && code !== null) throw new Error(`the storage's process ended with ${code}`);
}

function stepsBefore(reports: readonly Report[], position: number): number {
  return Math.max(0, ...reports.filter((report) => report.position <= position).map(({ steps }) => steps));
}

async function losses(dataDir: string, expected: Expected, done: number): Promise<string[]> {
  let opened: Opened;
  try {
    opened = await openWhole({ dataDir, ...OWNER });
  } catch (error) {
    return [String(error)];
  }
  const { recovered, entries, snapshots } = opened;
  const { hardState } = recovered;
  const found = digestOf({ ...recovered, snapshots, log: opened.log });
  const turn = hardState.currentTerm;
  const first = Math.max(done, expected.stepsWithWrite(turn));
  const candidates = expected.digests.slice(first, expected.stepsWithWrite(turn + 1));
  if (candidates.includes(found)) return [];
  return [
    `${done} steps were reported done; found is turn ${turn} with ${entries.length} entries, which isn't what they leave`,
  ];
}
