import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import type { ApplyHub } from "../apply/hub.ts";
import type { NodeApi } from "../node/api.ts";
import type { SnapshotTransfers } from "../node/snapshot-transfers.ts";
import { acknowledge } from "./acknowledge.ts";
import { applyStream } from "./apply-stream.ts";
import type { CallContext } from "./calls.ts";
import { getSnapshot } from "./get-snapshot.ts";
import { type ProposeLimits, propose, readIndex } from "./propose.ts";
import { proposeStream } from "./propose-stream.ts";
import { putSnapshot } from "./put-snapshot.ts";
import { getState, watchState } from "./state.ts";

/** The handlers of `raft.v1.LogService`. */
export function logService(
  context: CallContext,
  node: NodeApi,
  hub: ApplyHub,
  snapshots: SnapshotTransfers,
  limits: ProposeLimits,
): UntypedServiceImplementation {
  return {
    Propose: propose(context, node, limits),
    ProposeStream: proposeStream(context, node, limits),
    ApplyStream: applyStream(context, node, hub),
    ReadIndex: readIndex(context, node),
    Acknowledge: acknowledge(context, node),
    PutSnapshot: putSnapshot(context, snapshots),
    GetSnapshot: getSnapshot(context, snapshots),
    GetState: getState(context, node),
    WatchState: watchState(context, node),
  };
}
