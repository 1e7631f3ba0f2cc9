import { parentPort } from "node:worker_threads";
import { assert } from "../assert.ts";
import { toErrorRecord } from "./error.ts";
import type { Close, Failed, Measured } from "./messages.ts";

/** What a storage worker does. */
export interface WorkerService<Request> {
  handle(request: Request): void;
  /** Called once, also after an error. */
  close(): void;
}

/** Does something outside of `handle`, unless an error was reported before; an error of its own is reported. */
export type Attempt = (operation: () => void) => void;

/**
 * A worker's side of the conversation. `open` is given how to reply. The first error, in `open` or in `handle`, is
 * reported, and nothing is handled after it. `doing` says what the worker does, for the error.
 */
export function runWorkerService<Request extends { readonly kind: string }, Reply>(
  doing: string,
  open: (
    send: (message: Reply | Measured, transfer?: readonly ArrayBuffer[]) => void,
    attempt: Attempt,
  ) => WorkerService<Request>,
): void {
  const port = parentPort;
  assert(port !== null, "a storage worker runs in a worker thread");
  let service: WorkerService<Request> | undefined;
  let failed = false;
  const attempt: Attempt = (operation) => {
    if (failed) return;
    try {
      operation();
    } catch (error) {
      failed = true;
      port.postMessage({ kind: "failed", error: toErrorRecord(error, doing) } satisfies Failed);
    }
  };
  port.on("message", (request: Request | Close) => {
    if (isClose(request)) {
      service?.close();
      port.close();
    } else {
      attempt(() => service?.handle(request));
    }
  });
  attempt(() => {
    service = open((message, transfer = []) => port.postMessage(message, transfer), attempt);
  });
}

function isClose(request: { readonly kind: string }): request is Close {
  return request.kind === "close";
}
