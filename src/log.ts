import { destination, type Logger, pino } from "pino";

/**
 * The node's log: one JSON line an event on standard output, written before the call returns, so that the last words of
 * a process that ends are not lost. `node` is in every line.
 */
export function createLogger(level: string, node: string): Logger {
  const output = destination({ dest: 1, sync: true });
  // Who reads the log may go away; that is no reason to stop.
  output.on("error", () => {});
  return pino({ level, base: { node }, timestamp: pino.stdTimeFunctions.isoTime, messageKey: "event" }, output);
}
