/** better-sqlite3 crashes on what is older, and sources run with their types stripped from here on. */
const OLDEST_MAJOR = 24;

/** What is wrong with running on this version of Node; undefined when nothing is. This file runs on any Node. */
export function nodeVersionProblem(version: string): string | undefined {
  const major = Number(version.split(".")[0]);
  if (major >= OLDEST_MAJOR) return undefined;
  return (
    `raft-sidecar needs Node ${OLDEST_MAJOR} or newer, this is ${version}. ` +
    "From a checkout run it with the pinned one: node_modules/.bin/node dist/main.js"
  );
}
