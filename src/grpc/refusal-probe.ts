import { connect } from "node:net";
import { parseAddress } from "../config/address.ts";

/** A machine that says nothing in that time refuses nothing. */
const PROBE_TIMEOUT_MS = 1_000;

/** This machine has no such kind of address: no IPv6, say. */
const UNREACHABLE_HERE: readonly string[] = ["EADDRNOTAVAIL", "EAFNOSUPPORT", "ENETUNREACH"];

/**
 * Dials `address` once, host:port, and calls `done` once with whether the connection is refused: nobody listens there.
 * grpc-js would tell only after its backoff, and in words for people. A connection that opens is closed at once. Returns
 * what ends the probe sooner.
 */
export function probeRefusal(address: string, done: (isRefused: boolean) => void): () => void {
  const at = parseAddress(address);
  if (at === undefined) {
    queueMicrotask(() => done(false));
    return () => {};
  }
  let isRefused = false;
  const socket = connect(at);
  const end = (): void => void socket.destroy();
  socket.once("connect", end);
  socket.setTimeout(PROBE_TIMEOUT_MS, end);
  socket.on("error", (error) => {
    isRefused = isRefusal(error);
  });
  socket.once("close", () => done(isRefused));
  return end;
}

/** Of a name with several addresses, each that can be dialed from here has to refuse. */
function isRefusal(error: Error): boolean {
  const errors: readonly NodeJS.ErrnoException[] = error instanceof AggregateError ? error.errors : [error];
  const codes = errors.map(({ code = "" }) => code).filter((code) => !UNREACHABLE_HERE.includes(code));
  return codes.length > 0 && codes.every((code) => code === "ECONNREFUSED");
}
