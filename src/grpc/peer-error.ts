import { Failure } from "../failure.ts";

/** Throws INVALID_ARGUMENT for what the node found wrong with a peer's message. */
export function refuseMessage(wrong: string | undefined): void {
  if (wrong !== undefined) throw new Failure("INVALID_ARGUMENT", wrong);
}
