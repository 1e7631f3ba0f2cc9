import { openSqliteStorage } from "../../src/storage/open.ts";
import type { SqliteStorage } from "../../src/storage/sqlite-storage.ts";
import {
  compact,
  optionsFor,
  saveBootstrapped,
  saveMember,
  saveSessions,
  saveSnapshot,
  write,
} from "../storage/support.ts";
import { type SnapshotContents, type Step, script, snapshotIn } from "./script.ts";

/**
 * `child.ts <data directory> <turns>`: goes on with the script where the directory is, several steps at a time, until so
 * many turns are done, and closes it. Says how many steps are done, each time one is.
 */
const [dataDir = "", turns = ""] = process.argv.slice(2);

const STEPS_IN_FLIGHT = 4;

process.stdin.on("close", () => process.exit(0)).resume();

const storage = await openSqliteStorage(optionsFor(dataDir));
const found = storage.recovered.hardState.currentTerm;
const inFlight: Promise<void>[] = [];
let number = 0;
let turn = 0;
for (const steps of script(Number(turns))) {
  turn++;
  for (const step of steps) {
    const n = ++number;
    // Of the last turn that is found only the write is certain to have been executed.
    if (turn < found || (turn === found && step.kind === "write")) continue;
    const snapshot = snapshotIn(step);
    // Its file takes a while, and what follows would overtake it.
    if (snapshot !== undefined) await Promise.all(inFlight.splice(0));
    if (snapshot !== undefined && !(await maybeMakeFile(storage, snapshot))) continue;
    inFlight.push(execute(storage, step).then(() => void process.stdout.write(`${n}\n`)));
    if (inFlight.length >= STEPS_IN_FLIGHT || snapshot !== undefined) await inFlight.shift();
  }
}
await Promise.all(inFlight);
await storage.close();
process.exit(0);

function execute(to: SqliteStorage, step: Step): Promise<void> {
  switch (step.kind) {
    case "write":
      return write(to, step.write);
    case "sessions":
      return saveSessions(to, step.sessions);
    case "member":
      return saveMember(to, step.member);
    case "bootstrapped":
      return saveBootstrapped(to);
    case "snapshot":
      return saveSnapshot(to, step.put.row, step.dropped);
    case "compact":
      return compact(to, step.base);
  }
}

/** Whether the snapshot isn't there already. */
async function maybeMakeFile(to: SqliteStorage, { row, state }: SnapshotContents): Promise<boolean> {
  if (to.recovered.snapshots.some(({ last }) => last.index === row.last.index)) return false;
  const writer = await to.snapshotFiles.create();
  const half = Math.floor(state.length / 2);
  for (const chunk of [state.subarray(0, half), state.subarray(half)]) await writer.write(chunk);
  await writer.finish(row);
  return true;
}
