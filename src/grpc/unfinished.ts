import { PREFIX_BYTES } from "./message-frame.ts";

/** Follows the messages of one stream, to know how much of one that isn't whole yet is being kept. */
export class Unfinished {
  #prefixRead = 0;
  #length = 0;
  #read = 0;

  /** The bytes that were read of a message that has begun; 0 between messages. */
  get bytes(): number {
    return this.#prefixRead + this.#read;
  }

  take(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#prefixRead < PREFIX_BYTES) {
        if (this.#prefixRead > 0) this.#length = this.#length * 256 + (chunk[at] ?? 0);
        at += 1;
        this.#prefixRead += 1;
      } else {
        const taken = Math.min(chunk.length - at, this.#length - this.#read);
        at += taken;
        this.#read += taken;
      }
      if (this.#prefixRead === PREFIX_BYTES && this.#read === this.#length) this.#begin();
    }
  }

  #begin(): void {
    this.#prefixRead = 0;
    this.#length = 0;
    this.#read = 0;
  }
}
