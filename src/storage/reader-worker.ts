import { workerData } from "node:worker_threads";
import { openReaderConnection } from "./connection.ts";
import { LogReader } from "./log-reader.ts";
import type { ReaderReply, ReaderRequest, ReaderSetup } from "./messages.ts";
import { packFrames } from "./packed-frames.ts";
import { runWorkerService } from "./worker-service.ts";

/** The thread that reads ranges of the log: whoever lags behind delays neither the writes nor the main thread. */

const { file } = workerData as ReaderSetup;

runWorkerService<ReaderRequest, ReaderReply>(`reading ${file}`, (send) => {
  const db = openReaderConnection(file);
  const reader = new LogReader(db);
  send({ kind: "opened" });
  return {
    handle: ({ range }) => {
      const frames = packFrames(reader.read(range));
      send({ kind: "frames", frames }, [frames]);
    },
    close: () => db.close(),
  };
});
