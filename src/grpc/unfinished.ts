import { PREFIX_BYTES } from "./message-frame.ts";

/** What a frame on the wire costs beside its bytes, as long as it is kept. */
const CHUNK_BYTES = 256;

/** How much of what has begun to arrive is being kept. */
export interface Arriving {
  /** 0 when nothing is. */
  readonly bytes: number;
  take(chunk: Uint8Array): void;
}

/** A request of one message: it is kept until its end, which may come long after the message is whole. */
export class UnfinishedRequest implements Arriving {
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  take(chunk: Uint8Array): void {
    this.#bytes += CHUNK_BYTES + chunk.length;
  }

  /** Its end has come. */
  finish(): void {
    this.#bytes = 0;
  }
}

/** Follows the messages of one stream, to know how much of one that isn't whole yet is being kept. */
export class Unfinished implements Arriving {
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
