import type { Failure } from "../failure.ts";
import { invalidArgument } from "./uint64.ts";

/** What the decoder puts in the place of bytes that are not UTF-8. */
const REPLACEMENT = "\ufffd";

/** Why a text from outside is no name of 1 to `maxBytes` bytes of UTF-8; undefined when it is. */
export function refuseShortText(text: string, maxBytes: number, field: string): Failure | undefined {
  const length = Buffer.byteLength(text);
  if (length === 0 || length > maxBytes) {
    return invalidArgument(
      field,
      `must have ${length === 0 ? "at least 1 byte" : `at most ${maxBytes} bytes`}, has ${length}`,
    );
  }
  return text.includes(REPLACEMENT) ? invalidArgument(field, "must be UTF-8, without U+FFFD") : undefined;
}
