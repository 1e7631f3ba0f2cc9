import { parentPort, workerData } from "node:worker_threads";
import { type LoadOptions, StreamLoad } from "./stream-load.ts";
import { UnaryLoad } from "./unary-load.ts";

export type LoadSetup = ({ readonly kind: "stream" } & LoadOptions) | UnarySetup;

interface UnarySetup {
  readonly kind: "unary";
  readonly address: string;
  readonly rate: number;
}

/** In a thread of its own: what else this process does would be measured, too. */
if (parentPort !== null) {
  const port = parentPort;
  const setup: LoadSetup = workerData;
  const load = setup.kind === "stream" ? new StreamLoad(setup) : new UnaryLoad(setup.address, setup.rate);
  port.on("message", async (order: "sample" | "stop") => {
    port.postMessage(order === "sample" ? load.sample() : await load.stop());
    if (order === "stop") port.close();
  });
}
