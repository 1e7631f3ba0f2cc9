import { create } from "@bufbuild/protobuf";
import { type DiskUsage, DiskUsageSchema } from "../../gen/raft/v1/cluster_pb.js";
import type { DiskStatus } from "../node/api.ts";
import { bytesFromWire, toWire } from "./uint64.ts";

/** How full a node's disk is, on the wire and back. */

export function toDiskUsage({ freeBytes, limitBytes, totalBytes, usedBytes, low }: DiskStatus): DiskUsage {
  return create(DiskUsageSchema, {
    freeBytes: toWire(freeBytes),
    limitBytes: toWire(limitBytes),
    totalBytes: toWire(totalBytes),
    usedBytes: toWire(usedBytes),
    low,
  });
}

/** Throws INVALID_ARGUMENT. */
export function fromDiskUsage({ freeBytes, limitBytes, totalBytes, usedBytes, low }: DiskUsage): DiskStatus {
  return {
    freeBytes: bytesFromWire(freeBytes, "disk.free_bytes"),
    limitBytes: bytesFromWire(limitBytes, "disk.limit_bytes"),
    totalBytes: bytesFromWire(totalBytes, "disk.total_bytes"),
    usedBytes: bytesFromWire(usedBytes, "disk.used_bytes"),
    low,
  };
}
