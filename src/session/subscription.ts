import { isUtf8 } from "node:buffer";
import { textOf } from "../frame/codec.ts";
import { bytesPart, joined, numberPart, textPart } from "../frame/parts.ts";
import { VarintReader } from "../frame/varint.ts";

/** The longest name, in bytes of UTF-8. */
export const MAX_SUBSCRIBER_BYTES = 64;

/** What an entry of type `subscription` does to the cursors. */
export type SubscriptionOp =
  /** A stream of this subscriber is opened, in place of any older one. A new name begins after `newCursor`. */
  | { readonly kind: "open"; readonly name: string; readonly newCursor: number }
  | { readonly kind: "acknowledge"; readonly cursors: readonly Acknowledged[] }
  /** The subscriber is forgotten, unless it has got beyond `upTo` meanwhile. */
  | { readonly kind: "remove"; readonly name: string; readonly upTo: number };

/** A subscriber has applied everything to `cursor`, says the stream of this generation. */
export interface Acknowledged {
  readonly name: string;
  readonly generation: number;
  readonly cursor: number;
}

/** How each op begins. */
const KINDS = { open: 1, acknowledge: 2, remove: 3 } as const;

/** As an entry's payload. */
export function encodeSubscriptionOp(op: SubscriptionOp): Uint8Array {
  const kind = numberPart(KINDS[op.kind]);
  switch (op.kind) {
    case "open":
      return joined([kind, textPart(op.name), numberPart(op.newCursor)]);
    case "remove":
      return joined([kind, textPart(op.name), numberPart(op.upTo)]);
    case "acknowledge":
      return joined([
        kind,
        numberPart(op.cursors.length),
        ...op.cursors.map(({ name, generation, cursor }) =>
          joined([bytesPart(Buffer.from(name)), numberPart(generation), numberPart(cursor)]),
        ),
      ]);
  }
}

/** Throws a RangeError when `bytes` are no op that this build knows. */
export function decodeSubscriptionOp(bytes: Uint8Array): SubscriptionOp {
  const reader = new VarintReader(bytes, 0, bytes.length);
  const op = readOp(reader);
  if (reader.at !== bytes.length) throw new RangeError("bytes follow the op");
  return op;
}

/** Throws a RangeError for what is no subscriber's name. */
export function readName(reader: VarintReader): string {
  const bytes = reader.readBytes();
  if (bytes.length === 0 || bytes.length > MAX_SUBSCRIBER_BYTES) {
    throw new RangeError(`a subscriber's name has ${bytes.length} bytes, not 1 to ${MAX_SUBSCRIBER_BYTES}`);
  }
  if (!isUtf8(bytes)) throw new RangeError("a subscriber's name is not UTF-8");
  return textOf(bytes);
}

function readOp(reader: VarintReader): SubscriptionOp {
  const kind = reader.read();
  switch (kind) {
    case KINDS.open:
      return { kind: "open", name: readName(reader), newCursor: reader.read() };
    case KINDS.remove:
      return { kind: "remove", name: readName(reader), upTo: reader.read() };
    case KINDS.acknowledge: {
      const cursors: Acknowledged[] = [];
      for (let left = reader.read(); left > 0; left--) {
        cursors.push({ name: readName(reader), generation: reader.read(), cursor: reader.read() });
      }
      return { kind: "acknowledge", cursors };
    }
    default:
      throw new RangeError(`${kind} is no op on subscribers`);
  }
}

/** Why a payload is no op; undefined when it is one. */
export function faultOfSubscription(payload: Uint8Array): string | undefined {
  try {
    decodeSubscriptionOp(payload);
    return undefined;
  } catch (error) {
    if (error instanceof RangeError) return `it is no op on subscribers: ${error.message}`;
    throw error;
  }
}
