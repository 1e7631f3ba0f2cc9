import { connect } from "node:net";
import { parseAddress } from "../config/address.ts";

/** A machine that says nothing in that time refuses nothing. */
const PROBE_TIMEOUT_MS = 1_000;

/**
 * Dials `address` once, host:port, and calls `onRefused` if the connection is refused: nobody listens there. grpc-js
 * would tell only after its backoff, and in words for people. A connection that opens is closed at once. Returns what
 * ends the probe.
 */
export function probeRefusal(address: string, onRefused: () => void): () => void {
  const at = parseAddress(address);
  if (at === undefined) return () => {};
  const socket = connect(at);
  const end = (): void => void socket.destroy();
  socket.once("connect", end);
  socket.setTimeout(PROBE_TIMEOUT_MS, end);
  socket.on("error", (error) => {
    if (isRefusal(error)) onRefused();
  });
  return end;
}

/** Of a name with several addresses, each has to refuse. */
function isRefusal(error: NodeJS.ErrnoException): boolean {
  if (error instanceof AggregateError) return error.errors.every(isRefusal);
  return error.code === "ECONNREFUSED";
}
