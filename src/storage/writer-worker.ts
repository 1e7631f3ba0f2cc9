import { join } from "node:path";
import { workerData } from "node:worker_threads";
import type { Database } from "better-sqlite3";
import { unreachable } from "../assert.ts";
import { checkpoint, checkpointIfOverdue, openWriterConnection } from "./connection.ts";
import { OpenFiles } from "./files.ts";
import { markBootstrapped, writeMember } from "./identity.ts";
import { LOCK_FILE } from "./lock.ts";
import { LogWriter } from "./log-writer.ts";
import { HighWaterMark, MARK_FILE } from "./mark.ts";
import { checkAgainstMark, markFor } from "./marked.ts";
import type { WriterReply, WriterRequest, WriterSetup } from "./messages.ts";
import { unpackFrames } from "./packed-frames.ts";
import { recover } from "./recover.ts";
import { writeSessions } from "./session-row.ts";
import { readSnapshots, writeSnapshot } from "./snapshot-rows.ts";
import { runWorkerService } from "./worker-service.ts";

/** The thread with the only connection that writes. Each request is one transaction. */

/** How often the files are looked for, and how far the mark may stay behind the entries that were written. */
const GUARD_INTERVAL_MS = 500;

const { directory, file, owner } = workerData as WriterSetup;

runWorkerService<WriterRequest, WriterReply>(`writing ${file}`, (send, attempt) => {
  const found = HighWaterMark.open(directory);
  if (found !== undefined) checkAgainstMark(file, found);
  const { db, schema } = openWriterConnection(file);
  try {
    const mark = markFor(directory, schema, found);
    const recovered = recover(db, schema, directory, owner);
    const snapshots = readSnapshots(db);
    const writer = new LogWriter(db);
    // What was found may be in the system's memory only: a process was killed before its sync was done, or a sync failed,
    // after which another reports nothing. Before anything rests on it, it is written once more, to another file.
    checkpoint(db);
    mark.raise(writer.writes);
    const files = new OpenFiles([file, `${file}-wal`, join(directory, MARK_FILE), join(directory, LOCK_FILE)]);
    let synced = writer.writes;
    const guard = (): void =>
      attempt(() => {
        files.check();
        mark.raise(synced);
        checkpointIfOverdue(db);
      });
    const guarding = setInterval(guard, GUARD_INTERVAL_MS);
    let commits = 0;
    send({ kind: "opened", recovered, snapshots });
    return {
      handle: (request) => {
        execute(db, writer, request);
        synced = writer.writes;
        // Entries may wait for their mark. Votes are few, and worse to lose; so are the members that were met.
        if (request.kind !== "write" || request.hardState !== undefined) mark.raise(synced);
        commits++;
        send({ kind: "done", commits });
      },
      close: () => {
        clearInterval(guarding);
        guard();
        mark.close();
        db.close();
      },
    };
  } catch (error) {
    db.close();
    throw error;
  }
});

function execute(db: Database, writer: LogWriter, request: WriterRequest): void {
  switch (request.kind) {
    case "write": {
      const { hardState, truncateFrom, frames } = request;
      return writer.write({ hardState, truncateFrom, frames: frames === undefined ? [] : unpackFrames(frames) });
    }
    case "saveMember":
      return writer.count(() => writeMember(db, request.member));
    case "saveBootstrapped":
      return writer.count(() => markBootstrapped(db));
    case "saveSessions":
      return writer.count(() => writeSessions(db, request.checkpoint));
    case "saveSnapshot":
      return writer.count(() => writeSnapshot(db, request.snapshot, request.dropUpTo));
    default:
      return unreachable(request);
  }
}
