import type { IncomingHttpHeaders } from "node:http2";
import type { Failure } from "../failure.ts";
import { invalidArgument } from "./uint64.ts";

const TIMEOUT = "grpc-timeout";
const ENCODING = "grpc-encoding";

const TIMEOUT_FORM = /^([0-9]{1,8})([HMSmun])$/;
const UNIT_MS = new Map([
  ["H", 3_600_000],
  ["M", 60_000],
  ["S", 1_000],
  ["m", 1],
  ["u", 0.001],
  ["n", 0.000_001],
]);

/** What a timer takes; some 24 days. */
const MAX_TIMEOUT_S = 2_147_483;

/**
 * What is wrong with a call's headers that grpc-js would answer with INTERNAL, or unpack to any size: 8 KiB on the wire
 * become 8 MiB, once for each call that is open.
 */
export function faultOfHeaders(headers: IncomingHttpHeaders): Failure | undefined {
  const encoding = headers[ENCODING];
  if (encoding !== undefined && encoding !== "identity") {
    return invalidArgument(ENCODING, "must be identity: compressed messages are not taken");
  }
  const timeout = headers[TIMEOUT];
  if (timeout !== undefined && !TIMEOUT_FORM.test(String(timeout))) {
    return invalidArgument(TIMEOUT, "must be at most 8 digits and one of H M S m u n");
  }
  return undefined;
}

/** How long a call may take by its headers; undefined for any time. Headers without fault only. */
export function timeoutMsOf(headers: IncomingHttpHeaders): number | undefined {
  const timeout = headers[TIMEOUT];
  if (timeout === undefined) return undefined;
  const [, digits = "0", unit = ""] = TIMEOUT_FORM.exec(String(timeout)) ?? [];
  return Number(digits) * (UNIT_MS.get(unit) ?? 0);
}

/** grpc-js takes a timeout that is longer than its timers for a negative one. */
export function shortenTimeout(headers: IncomingHttpHeaders): void {
  if ((timeoutMsOf(headers) ?? 0) > MAX_TIMEOUT_S * 1_000) headers[TIMEOUT] = `${MAX_TIMEOUT_S}S`;
}
