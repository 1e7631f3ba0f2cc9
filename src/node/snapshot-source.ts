import type { SnapshotSource } from "../apply/snapshot-source.ts";
import type { SnapshotTransfers } from "./snapshot-transfers.ts";

/** What a subscriber is sent at a time. */
const CHUNK_BYTES = 1024 * 1024;

/** The snapshots for subscribers that need one. */
export function snapshotSource(transfers: SnapshotTransfers): SnapshotSource {
  const settle = <T>(work: Promise<T>, done: (result: T | Error) => void): void => {
    work.then(done, (error: unknown) => done(error instanceof Error ? error : new Error(String(error))));
  };
  return {
    find: (formats, minIndex) => transfers.findFrom(formats, minIndex),
    open: ({ last }, done) => {
      const opening = transfers.openAt(last).then((open) => ({
        read: (then: (result: Uint8Array | Error) => void) => settle(open.read(CHUNK_BYTES), then),
        close: () => void open.close().catch(() => {}),
      }));
      settle(opening, done);
    },
  };
}
