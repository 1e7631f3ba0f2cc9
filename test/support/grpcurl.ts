import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Where grpcurl is: as RAFT_SIDECAR_GRPCURL says, on the PATH, or where `go install` puts it. Undefined when nowhere. */
export function findGrpcurl(): string | undefined {
  const { RAFT_SIDECAR_GRPCURL: named, PATH: path = "", GOBIN: gobin } = process.env;
  const folders = [...path.split(delimiter), gobin ?? "", join(homedir(), "go", "bin")];
  const places = [named ?? "", ...folders.filter((folder) => folder !== "").map((folder) => join(folder, "grpcurl"))];
  return places.find((place) => place !== "" && isExecutable(place));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs grpcurl to its end. Rejects with its output when it fails. */
export function grpcurl(binary: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(binary, ["-plaintext", "-max-time", "20", ...args], (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`grpcurl ${args.join(" ")}: ${stderr}${stdout}`, { cause: error }));
    });
  });
}
