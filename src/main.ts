#!/usr/bin/env node
import { nodeVersionProblem } from "./cli/node-version.ts";

// Nothing native and no newer syntax may load before this check: an old Node would crash instead of saying why.
const problem = nodeVersionProblem(process.versions.node);
if (problem === undefined) {
  if (process.argv[2] === "serve") (await import("./cli/young-generation.ts")).restartWithFlags();
  process.stdout.on("error", (error) => {
    // The reader is gone, as in `raft-sidecar subscribe | head`, which is no failure.
    if ("code" in error && error.code === "EPIPE") process.exit(0);
    throw error;
  });
  const { run } = await import("./cli/run.ts");
  process.exitCode = await run(process.argv.slice(2));
} else {
  process.stderr.write(`${problem}\n`);
  process.exitCode = 1;
}
