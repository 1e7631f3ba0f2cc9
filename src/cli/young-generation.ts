/**
 * V8's young generation, in MiB a semi-space. The default of 16 has a node under full load keep some 100 MiB more, and
 * serves nobody faster: what proposals leave behind dies young.
 */
const FLAG = "--max-semi-space-size";
const MIB = 8;

/** With what a node is to be started, unless somebody has chosen for it. */
export function youngGenerationFlags(): string[] {
  return isChosen() ? [] : [`${FLAG}=${MIB}`];
}

/**
 * Starts this very process anew with those flags, as V8 takes them at its start only. Returns where that isn't needed, or
 * can't be done: a channel to the parent would not survive it, and not every system can replace a process.
 */
export function restartWithFlags(): void {
  if (isChosen() || process.connected || process.platform === "win32" || process.execve === undefined) return;
  const [, ...args] = process.argv;
  try {
    process.execve(process.execPath, [process.execPath, ...process.execArgv, ...youngGenerationFlags(), ...args]);
  } catch {
    // Node was told not to start processes. It runs with more memory instead.
  }
}

function isChosen(): boolean {
  const { NODE_OPTIONS = "" } = process.env;
  return [...process.execArgv, NODE_OPTIONS].some((option) => option.replaceAll("_", "-").includes(FLAG));
}
