import { SessionsEncoder } from "../../src/session/checkpoint.ts";
import type { SessionTable } from "../../src/session/session-table.ts";

/** A table's checkpoint, made at once; equal for equal tables. */
export function encodeSessions(table: SessionTable): Uint8Array {
  const bytes = new SessionsEncoder(table).write(Number.POSITIVE_INFINITY);
  if (bytes === undefined) throw new Error("an encoder without a limit isn't done");
  return bytes;
}
