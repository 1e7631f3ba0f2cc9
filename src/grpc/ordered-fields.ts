import { varintSize, WireType, writeVarint } from "../frame/varint.ts";
import type { Uint64 } from "./uint64.ts";

/**
 * Reading and writing of small messages by hand, for those that every command costs one of. All fields have numbers
 * below 16, so that a tag is one byte. As in proto3, a field that is 0, false or empty is not written.
 */

const NOTHING: Uint8Array = new Uint8Array(0);

/** Longer texts than any that is allowed are left to the generated code, too, which is the faster one there. */
const MAX_TEXT_BYTES = 256;

/** Above this a varint is left to the generated code: 7 bytes are below 2^49. */
const MAX_VARINT_BYTES = 7;

function varintTag(field: number): number {
  return (field << 3) | WireType.varint;
}

function delimitedTag(field: number): number {
  return (field << 3) | WireType.delimited;
}

/**
 * Reads a message whose fields come in order, each at most once, as all implementations write them. It stops at anything
 * else; then `isDone` stays false, and what it returned means nothing.
 */
export class OrderedFields {
  readonly #bytes: Uint8Array;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Whether everything was read. */
  get isDone(): boolean {
    return this.#at === this.#end;
  }

  /** 0 when the field is not the next one. */
  uint(field: number): number {
    return this.#takes(varintTag(field)) ? this.#varint() : 0;
  }

  /** A view; empty when the field is not the next one. */
  bytes(field: number): Uint8Array {
    if (!this.#takes(delimitedTag(field))) return NOTHING;
    const end = this.#endOfBytes();
    if (end === undefined) return NOTHING;
    const { buffer, byteOffset } = this.#bytes;
    const view = new Uint8Array(buffer, byteOffset + this.#at, end - this.#at);
    this.#at = end;
    return view;
  }

  /** "" when the field is not the next one. Text that isn't ASCII, or is long, is left to the generated code. */
  text(field: number): string {
    if (!this.#takes(delimitedTag(field))) return "";
    const end = this.#endOfBytes();
    if (end === undefined) return "";
    if (end - this.#at > MAX_TEXT_BYTES) return this.#stop("");
    let text = "";
    for (; this.#at < end; this.#at++) {
      const byte = this.#bytes[this.#at] ?? 0;
      if (byte >= 0x80) return this.#stop("");
      text += String.fromCharCode(byte);
    }
    return text;
  }

  /** The fields of a message in this one; undefined when the field is not the next one. */
  message(field: number): OrderedFields | undefined {
    if (!this.#takes(delimitedTag(field))) return undefined;
    const end = this.#endOfBytes();
    if (end === undefined) return undefined;
    const fields = new OrderedFields(this.#bytes, this.#at, end);
    this.#at = end;
    return fields;
  }

  #takes(tag: number): boolean {
    if (this.#at >= this.#end || this.#bytes[this.#at] !== tag) return false;
    this.#at++;
    return true;
  }

  #endOfBytes(): number | undefined {
    const length = this.#varint();
    const end = this.#at + length;
    return end <= this.#end ? end : this.#stop(undefined);
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < MAX_VARINT_BYTES && this.#at < this.#end; i++) {
      const byte = this.#bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    return this.#stop(0);
  }

  /** Never done from here on. */
  #stop<T>(value: T): T {
    this.#at = Number.NaN;
    return value;
  }
}

/** How many bytes a number's field takes. */
export function uintFieldSize(value: Uint64): number {
  if (Number(value) === 0) return 0;
  if (typeof value === "number") return 1 + varintSize(value);
  let size = 2;
  for (let rest = value; rest >= 0x80n; rest >>= 7n) size++;
  return size;
}

/** How many bytes the field of a text, of bytes or of a message of this length takes. */
export function delimitedSize(length: number): number {
  return 1 + varintSize(length) + length;
}

/** Writes a number's field at `offset` and returns the offset after it. */
export function writeUintField(out: Uint8Array, offset: number, field: number, value: Uint64): number {
  if (Number(value) === 0) return offset;
  out[offset] = varintTag(field);
  if (typeof value === "number") return writeVarint(out, offset + 1, value);
  let at = offset + 1;
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) out[at++] = Number(rest & 0x7fn) | 0x80;
  out[at++] = Number(rest);
  return at;
}

/** How many bytes a text's field takes. */
export function textFieldSize(text: string): number {
  return text === "" ? 0 : delimitedSize(Buffer.byteLength(text));
}

/** Writes a text's field at `offset` and returns the offset after it. */
export function writeTextField(out: Buffer, offset: number, field: number, text: string): number {
  if (text === "") return offset;
  const at = writeDelimitedHead(out, offset, field, Buffer.byteLength(text));
  return at + out.write(text, at);
}

/** Writes what precedes a field's bytes, and returns the offset after it. */
export function writeDelimitedHead(out: Uint8Array, offset: number, field: number, length: number): number {
  out[offset] = delimitedTag(field);
  return writeVarint(out, offset + 1, length);
}
