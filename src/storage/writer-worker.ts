import { workerData } from "node:worker_threads";
import type { Database } from "better-sqlite3";
import { unreachable } from "../assert.ts";
import { openWriterConnection } from "./connection.ts";
import { markBootstrapped, writeMember } from "./identity.ts";
import { LogWriter } from "./log-writer.ts";
import type { WriterReply, WriterRequest, WriterSetup } from "./messages.ts";
import { unpackFrames } from "./packed-frames.ts";
import { recover } from "./recover.ts";
import { runWorkerService } from "./worker-service.ts";

/** The thread with the only connection that writes. Each request is one transaction. */

const { directory, file, owner } = workerData as WriterSetup;

runWorkerService<WriterRequest, WriterReply>(`writing ${file}`, (send) => {
  const { db, schema } = openWriterConnection(file);
  try {
    const recovered = recover(db, schema, directory, owner);
    const writer = new LogWriter(db);
    let commits = 0;
    send({ kind: "opened", recovered });
    return {
      handle: (request) => {
        execute(db, writer, request);
        commits++;
        send({ kind: "done", commits });
      },
      close: () => db.close(),
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
      return writeMember(db, request.member);
    case "saveBootstrapped":
      return markBootstrapped(db);
    default:
      return unreachable(request);
  }
}
