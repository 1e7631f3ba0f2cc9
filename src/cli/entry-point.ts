import { relative } from "node:path";
import { fileURLToPath } from "node:url";

/** This program's own main file: built, or as source when run from source. */
export const ENTRY = fileURLToPath(
  new URL(`../main${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url),
);

/** How to call this program from the present directory, to copy into a shell. */
export function ownCommand(): string {
  return `${shortest(process.execPath)} ${shortest(ENTRY)}`;
}

/** Relative where that doesn't lead out of the present directory. */
export function shortest(path: string): string {
  const short = relative(process.cwd(), path);
  return short === "" || short.startsWith("..") ? path : short;
}
