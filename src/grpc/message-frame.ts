/** A message's prefix on the wire: a flag, and the length in four bytes. */
export const PREFIX_BYTES = 5;

/** A message with its prefix, not compressed. */
export function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  bytes[0] = 0;
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, PREFIX_BYTES);
  return bytes;
}

/** How long the message that begins here says it is; 0 when its prefix isn't whole. */
export function claimedBytes(begin: Buffer): number {
  return begin.length < PREFIX_BYTES ? 0 : begin.readUInt32BE(1);
}

/** The message that `bytes` are, as a view of them; undefined when they are not exactly one that isn't compressed. */
export function oneMessageOf(bytes: Buffer): Buffer | undefined {
  if (bytes.length < PREFIX_BYTES || bytes[0] !== 0) return undefined;
  return bytes.readUInt32BE(1) === bytes.length - PREFIX_BYTES ? bytes.subarray(PREFIX_BYTES) : undefined;
}
