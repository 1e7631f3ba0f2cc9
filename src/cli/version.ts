import { readFileSync } from "node:fs";

/** This build's version, from the package's own description. */
export const VERSION = readVersion();

function readVersion(): string {
  const description: unknown = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  const version = (description as { version?: unknown }).version;
  return typeof version === "string" ? version : "unknown";
}
