import { openSqliteStorage } from "../../src/storage/open.ts";
import type { SqliteStorage } from "../../src/storage/sqlite-storage.ts";
import { optionsFor, saveBootstrapped, saveMember, saveSessions, write } from "../storage/support.ts";
import { type Step, script } from "./script.ts";

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
    // Its file takes a while, and what follows would overtake it.
    if (step.kind === "snapshot") await Promise.all(inFlight.splice(0));
    inFlight.push(execute(storage, step).then(() => void process.stdout.write(`${n}\n`)));
    if (inFlight.length >= STEPS_IN_FLIGHT || step.kind === "snapshot") await inFlight.shift();
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
      return addSnapshot(to, step.index, step.state);
  }
}

/** Unless it is there already. */
async function addSnapshot({ snapshots }: SqliteStorage, index: number, state: Buffer): Promise<void> {
  if ((snapshots.latest?.last.index ?? 0) >= index) return;
  const writer = await snapshots.create();
  const half = Math.floor(state.length / 2);
  for (const chunk of [state.subarray(0, half), state.subarray(half)]) await writer.write(chunk);
  await snapshots.add(writer, {
    last: { index, term: 1 },
    format: "test",
    size: state.length,
    sha256: writer.sha256(),
  });
}
