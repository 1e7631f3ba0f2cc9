import type { Message } from "../../src/raft/message.ts";
import { LogDisk } from "../simulation/log-disk.ts";

/**
 * What the core may rely on. The explorer's own tests break one promise at a time: it must find what comes of it, or
 * its silence about the true world would mean nothing.
 */
export interface World {
  /** What a crash leaves of a disk. */
  readonly afterCrash: (disk: LogDisk) => LogDisk;
  /** What the network makes of a message. */
  readonly onTheWay: (message: Message) => Message;
  /** The disk says that a turn is durable before it is: it becomes so with the next one. */
  readonly reportsEarly: boolean;
  /** Whether nodes are held to what their disks have; without it a broken disk is seen by its consequences only. */
  readonly checksDisks: boolean;
}

export const TRUE_WORLD: World = {
  afterCrash: (disk) => disk,
  onTheWay: (message) => message,
  reportsEarly: false,
  checksDisks: true,
};

export function copyOf(disk: LogDisk): LogDisk {
  return new LogDisk(disk.base, disk.hardState, disk.entries);
}
