import { create } from "@bufbuild/protobuf";
import { type Snapshot, SnapshotSchema } from "../../gen/raft/v1/log_pb.js";
import type { SnapshotRecord } from "../node/snapshots.ts";
import { invalidArgument, toWire } from "./uint64.ts";

const MAX_FORMAT_BYTES = 64;

/** What the decoder puts in the place of bytes that are not UTF-8. */
const REPLACEMENT = "\ufffd";

/** A snapshot's format from outside. Throws INVALID_ARGUMENT. */
export function formatFromWire(format: string, field: string): string {
  const length = Buffer.byteLength(format);
  if (length === 0 || length > MAX_FORMAT_BYTES || format.includes(REPLACEMENT)) {
    throw invalidArgument(field, `must be 1 to ${MAX_FORMAT_BYTES} bytes of UTF-8, has ${length}`);
  }
  return format;
}

export function toSnapshot({ last, format, size, sha256 }: SnapshotRecord): Snapshot {
  return create(SnapshotSchema, {
    index: toWire(last.index),
    term: toWire(last.term),
    format,
    size: toWire(size),
    sha256: Uint8Array.from(sha256),
  });
}
