import { create } from "@bufbuild/protobuf";
import { type Snapshot, SnapshotSchema } from "../../gen/raft/v1/log_pb.js";
import type { SnapshotRecord } from "../node/snapshots.ts";
import { refuseShortText } from "./short-text.ts";
import { toWire } from "./uint64.ts";

const MAX_FORMAT_BYTES = 64;

/** A snapshot's format from outside. Throws INVALID_ARGUMENT. */
export function formatFromWire(format: string, field: string): string {
  const refusal = refuseShortText(format, MAX_FORMAT_BYTES, field);
  if (refusal !== undefined) throw refusal;
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
