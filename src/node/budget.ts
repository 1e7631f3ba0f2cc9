import { assert } from "../assert.ts";
import type { Failure } from "../failure.ts";
import { overloaded } from "./failures.ts";

/** A bound on proposals, in number and in bytes of commands. */
export class Budget {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  #count = 0;
  #bytes = 0;

  constructor(maxCount: number, maxBytes: number) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
  }

  /** Takes them in; returns why not when they are too many. */
  take(count: number, bytes: number): Failure | undefined {
    if (this.#count + count > this.#maxCount) return overloaded("proposals", this.#maxCount);
    if (this.#bytes + bytes > this.#maxBytes) return overloaded("bytes of proposals", this.#maxBytes);
    this.#count += count;
    this.#bytes += bytes;
    return undefined;
  }

  release(count: number, bytes: number): void {
    this.#count -= count;
    this.#bytes -= bytes;
    assert(this.#count >= 0 && this.#bytes >= 0, "a proposal was let go twice");
  }
}
