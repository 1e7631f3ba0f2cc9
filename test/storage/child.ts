import { createInterface } from "node:readline";
import { openSqliteStorage } from "../../src/storage/open.ts";
import { LogModel, optionsFor, scriptedWrite, write } from "./support.ts";

/**
 * A process for the tests to kill: `child.ts <mode> <data directory>`, told what to do by its mode. It ends by itself
 * when its standard input does, so that none is left behind.
 */
const [mode = "", dataDir = ""] = process.argv.slice(2);

createInterface(process.stdin).on("close", () => process.exit(0));

switch (mode) {
  // Opens the directory and keeps it.
  case "hold":
    await openSqliteStorage(optionsFor(dataDir));
    say("opened");
    break;
  // Executes the script of writes without end, several at a time, and says the number of each that is done.
  case "write": {
    const storage = await openSqliteStorage(optionsFor(dataDir));
    const model = new LogModel();
    const outstanding: Promise<void>[] = [];
    for (let n = 1; ; n++) {
      const turn = scriptedWrite(n, model.lastIndex);
      model.apply(turn);
      outstanding.push(write(storage, turn).then(() => say(String(n))));
      if (outstanding.length >= 4) await outstanding.shift();
    }
  }
  // Executes the script until the disk fails, says how, and then tries once more to write.
  case "writeUntilFailure": {
    const storage = await openSqliteStorage(optionsFor(dataDir));
    let failed = false;
    storage.onFailure = (error) => {
      failed = true;
      say(`failed: ${error}`);
    };
    const model = new LogModel();
    for (let n = 1; !failed; n++) {
      const turn = scriptedWrite(n, model.lastIndex);
      model.apply(turn);
      const done = write(storage, turn).then(() => say(String(n)));
      await Promise.race([done, new Promise((resolve) => setTimeout(resolve, 500))]);
    }
    void write(storage, { hardState: { currentTerm: 1e6, votedFor: "" } }).then(() => say("done after the failure"));
    await storage.close();
    say("closed");
    break;
  }
  // Opens the directory as a user that may not write to it.
  case "unprivileged":
    if (process.getuid?.() === 0) process.setuid?.(65534);
    await openSqliteStorage(optionsFor(dataDir)).then(
      () => say("opened"),
      (error: unknown) => say(String(error)),
    );
    break;
  // Executes 400 writes one after the other and says how many transactions were committed before it closes.
  case "count": {
    const storage = await openSqliteStorage(optionsFor(dataDir));
    const model = new LogModel();
    for (let n = 1; n <= 400; n++) {
      const turn = scriptedWrite(n, model.lastIndex);
      model.apply(turn);
      await write(storage, turn);
    }
    say(String(storage.commits));
    await storage.close();
    process.exit(0);
    break;
  }
  default:
    throw new Error(`unknown mode ${mode}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
