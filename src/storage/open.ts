import { join } from "node:path";
import { assert, InvariantError } from "../assert.ts";
import { prepareDirectory, syncDirectory } from "./directory.ts";
import { toStorageError } from "./error.ts";
import type { DirectoryOwner } from "./identity.ts";
import { DirectoryLock } from "./lock.ts";
import type { ReaderReply, ReaderRequest, ReaderSetup, WriterReply, WriterRequest, WriterSetup } from "./messages.ts";
import { SnapshotFiles } from "./snapshot-files.ts";
import { FailureLatch, SqliteStorage } from "./sqlite-storage.ts";
import { StorageThread } from "./storage-thread.ts";

/** The database's file in the data directory. SQLite keeps `-wal` and `-shm` files beside it. */
export const DATABASE_FILE = "raft.db";

export interface OpenOptions extends DirectoryOwner {
  /** Created where it is missing. One process at a time. */
  readonly dataDir: string;
  /**
   * With less than so much free the disk is low; 0 for never. Undefined for 256 MiB, or 5 % of a file system that is smaller
   * than 5 GiB.
   */
  readonly minFreeBytes?: number | undefined;
}

/**
 * Opens a data directory, or makes one. Throws a StorageError: `inUse` when another process has it, `refused` when it
 * belongs to another node, cluster, list of voters, program or newer build, `failed` when it can't be written, `damaged`
 * when what it holds is not what was written.
 */
export async function openSqliteStorage(options: OpenOptions): Promise<SqliteStorage> {
  const { nodeId, clusterId, bootstrapVoters, minFreeBytes } = options;
  const directory = prepareDirectory(options.dataDir);
  const lock = DirectoryLock.acquire(directory);
  const failure = new FailureLatch();
  const setup: WriterSetup = {
    directory,
    file: join(directory, DATABASE_FILE),
    owner: { nodeId, clusterId, bootstrapVoters },
    minFreeBytes,
  };
  const threads: { close(): Promise<void> }[] = [];
  try {
    const { thread: writer, reply } = await startThread<WriterRequest, WriterReply>(
      "writer-worker",
      setup,
      failure,
      threads,
    );
    assert(reply.kind === "opened", "the writer's first reply says what it recovered");
    // The writer has created the file by now.
    const readerSetup: ReaderSetup = { file: setup.file };
    const { thread: reader } = await startThread<ReaderRequest, ReaderReply>(
      "reader-worker",
      readerSetup,
      failure,
      threads,
    );
    syncDirectory(directory);
    const { recovered, usage } = reply;
    const files = await SnapshotFiles.open(directory, recovered.snapshots, minFreeBytes);
    return new SqliteStorage({ recovered, files, usage }, writer, reader, lock, failure);
  } catch (error) {
    await Promise.all(threads.map((thread) => thread.close()));
    lock.release();
    throw error instanceof InvariantError ? error : toStorageError(error, `opening ${directory}`);
  }
}

/** Resolves with the thread once it has answered for the first time; rejects when it fails before that. */
function startThread<Request, Reply extends { readonly kind: string }>(
  name: string,
  setup: unknown,
  failure: FailureLatch,
  threads: { close(): Promise<void> }[],
): Promise<{ readonly thread: StorageThread<Request, Reply>; readonly reply: Reply }> {
  return new Promise((resolve, reject) => {
    const thread = new StorageThread<Request, Reply>(
      name,
      setup,
      (reply) => resolve({ thread, reply }),
      (error) => {
        reject(error);
        failure.fail(error);
      },
    );
    threads.push(thread);
  });
}
