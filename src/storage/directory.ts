import { accessSync, closeSync, constants, fsyncSync, mkdirSync, openSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { errorCode, StorageError } from "./error.ts";

/**
 * Creates the data directory where it is missing, so that it survives a loss of power, and checks that this process may
 * write to it. Returns its absolute path. Throws a StorageError that says what to do.
 */
export function prepareDirectory(path: string): string {
  const directory = resolve(path);
  try {
    create(directory);
  } catch (error) {
    throw new StorageError(
      "failed",
      `the data directory ${directory} cannot be created (${errorCode(error)}). Create it, owned by the user that this ` +
        "process runs as, or give another --data-dir.",
      error,
    );
  }
  try {
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw notWritable(directory, error);
  }
  return directory;
}

/** The error for a directory, or a file in it, that this process may not write. */
export function notWritable(path: string, cause: unknown): StorageError {
  return new StorageError(
    "failed",
    `the data directory is not writable: ${path} (${errorCode(cause)}). Make it and its files writable for the user ` +
      "that this process runs as, mount it read-write, or give another --data-dir.",
    cause,
  );
}

/** Makes the names in a directory durable. Opens the directory only, never a database file in it. */
export function syncDirectory(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Each new directory is a name in the one above it, which is synced. Not by mkdir's `recursive`: it never returns where
 * the file system answers that a parent is missing which exists.
 */
function create(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true) return;
  const parent = dirname(directory);
  if (parent !== directory) create(parent);
  mkdirSync(directory);
  syncDirectory(parent);
}
