import { join } from "node:path";
import { workerData } from "node:worker_threads";
import type { Database } from "better-sqlite3";
import { unreachable } from "../assert.ts";
import { checkpoint, checkpointIfOverdue, openWriterConnection } from "./connection.ts";
import { DiskGauge } from "./disk-space.ts";
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
import { writeSnapshot } from "./snapshot-rows.ts";
import { Sweeper } from "./sweeper.ts";
import { runWorkerService } from "./worker-service.ts";

/** The thread with the only connection that writes. Each request is one transaction. */

/** How often the files are looked for and the disk is measured, and how far the mark may stay behind what was written. */
const GUARD_INTERVAL_MS = 500;

/** After so much of the log the disk is measured at once: a fast log fills much within the interval. */
const MEASURE_EVERY_BYTES = 1024 * 1024;

const { directory, file, owner, minFreeBytes } = workerData as WriterSetup;

runWorkerService<WriterRequest, WriterReply>(`writing ${file}`, (send, attempt) => {
  const found = HighWaterMark.open(directory);
  if (found !== undefined) checkAgainstMark(file, found);
  const { db, schema } = openWriterConnection(file);
  try {
    const mark = markFor(directory, schema, found);
    const recovered = recover(db, schema, directory, owner);
    const writer = new LogWriter(db);
    const sweeper = new Sweeper(db, writer, attempt);
    // What was found may be in the system's memory only: a process was killed before its sync was done, or a sync failed,
    // after which another reports nothing. Before anything rests on it, it is written once more, to another file.
    checkpoint(db);
    mark.raise(writer.writes);
    const files = new OpenFiles([file, `${file}-wal`, join(directory, MARK_FILE), join(directory, LOCK_FILE)]);
    const gauge = new DiskGauge(directory, db, minFreeBytes);
    let unmeasuredBytes = 0;
    const measure = (): void => {
      unmeasuredBytes = 0;
      send({ kind: "measured", usage: gauge.measure() });
    };
    let synced = writer.writes;
    const guard = (): void =>
      attempt(() => {
        files.check();
        mark.raise(synced);
        checkpointIfOverdue(db);
      });
    const guarding = setInterval(() => {
      guard();
      attempt(measure);
    }, GUARD_INTERVAL_MS);
    let commits = 0;
    send({ kind: "opened", recovered, usage: gauge.measure() });
    sweeper.wake();
    return {
      handle: (request) => {
        execute(db, writer, request);
        sweeper.wake();
        synced = writer.writes;
        // Entries may wait for their mark. Votes are few, and worse to lose; so are the members that were met.
        if (request.kind !== "write" || request.hardState !== undefined) mark.raise(synced);
        commits++;
        if (request.kind === "write") unmeasuredBytes += request.frames?.byteLength ?? 0;
        // Before the write is reported done: what the node appends next it appends in the light of it.
        if (unmeasuredBytes >= MEASURE_EVERY_BYTES) measure();
        send({ kind: "done", commits });
      },
      close: () => {
        clearInterval(guarding);
        sweeper.stop();
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
      const { frames, ...rest } = request;
      return writer.write({ ...rest, frames: frames === undefined ? [] : unpackFrames(frames) });
    }
    case "saveMember":
      return writer.count(() => writeMember(db, request.member));
    case "saveBootstrapped":
      return writer.count(() => markBootstrapped(db));
    case "saveSessions":
      return writer.count(() => writeSessions(db, request.checkpoint));
    case "saveSnapshot":
      return writer.count(() => writeSnapshot(db, request));
    case "compact":
      return writer.compact(request.base);
    default:
      return unreachable(request);
  }
}
