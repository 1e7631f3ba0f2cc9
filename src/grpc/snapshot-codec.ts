import { create } from "@bufbuild/protobuf";
import { type Snapshot, SnapshotSchema } from "../../gen/raft/v1/log_pb.js";
import type { SnapshotRecord } from "../node/snapshot-transfers.ts";
import { refuseShortText } from "./short-text.ts";
import { invalidArgument, toWire } from "./uint64.ts";

const MAX_FORMATS = 16;
const MAX_FORMAT_BYTES = 64;

/** A snapshot's format from outside. Throws INVALID_ARGUMENT. */
export function formatFromWire(format: string, field: string): string {
  const refusal = refuseShortText(format, MAX_FORMAT_BYTES, field);
  if (refusal !== undefined) throw refusal;
  return format;
}

/** The formats that a caller can restore. Throws INVALID_ARGUMENT. */
export function formatsFromWire(formats: readonly string[], field: string): string[] {
  if (formats.length > MAX_FORMATS) throw invalidArgument(field, `must be at most ${MAX_FORMATS}`);
  return formats.map((format, i) => formatFromWire(format, `${field}[${i}]`));
}

export function toSnapshot({ last, format, size, sha256 }: Omit<SnapshotRecord, "ownState">): Snapshot {
  return create(SnapshotSchema, {
    index: toWire(last.index),
    term: toWire(last.term),
    format,
    size: toWire(size),
    sha256: Uint8Array.from(sha256),
  });
}
