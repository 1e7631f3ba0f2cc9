import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";

/** A user may mount file systems of its own, in a namespace. Not everywhere. */
export const canMount =
  process.platform === "linux" && spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0;

export interface SmallDisk {
  /** A command that runs others with it. */
  readonly wrapper: readonly string[];
  /** Gives it more room. Returns the command that runs others then. */
  enlarge(): readonly string[];
}

const holders: ChildProcess[] = [];

/** Unmounts all of them. */
export function endSmallDisks(): void {
  for (const holder of holders.splice(0)) holder.kill("SIGKILL");
}

/** A file system of so many MiB at `path`, made where it is missing, which the processes see that are run with it, and no other. */
export async function smallFileSystem(path: string, mib = 2): Promise<SmallDisk> {
  mkdirSync(path, { recursive: true });
  const script = 'mount -t tmpfs -o size="$2"m none "$1" && echo mounted && exec cat';
  const args = ["-rm", "sh", "-c", script, "sh", path, String(mib)];
  const holder = spawn("unshare", args, { stdio: ["pipe", "pipe", "inherit"] });
  holders.push(holder);
  await once(holder.stdout, "data");
  const inside = ["-t", String(holder.pid), "-U", "-m", "--preserve-credentials"];
  const wrapper = ["nsenter", ...inside];
  const enlarge = (): readonly string[] => {
    execFileSync("nsenter", [...inside, "mount", "-o", "remount,size=64m", path]);
    return wrapper;
  };
  return { wrapper, enlarge };
}
