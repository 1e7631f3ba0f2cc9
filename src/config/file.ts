import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { OPTION_NAMES, OPTIONS, type OptionName } from "./options.ts";

/** What a YAML file sets, as text, and what is wrong with it. */
export interface FileValues {
  readonly values: Partial<Record<OptionName, string>>;
  readonly problems: readonly string[];
}

const MAX_FILE_BYTES = 1024 * 1024;

/** Reads a configuration file: one mapping, its keys the names of the flags. An empty file sets nothing. */
export function readConfigFile(file: string): FileValues {
  let document: unknown;
  try {
    const text = readFileSync(file, "utf8");
    if (text.length > MAX_FILE_BYTES) return failed(`--config: ${file} is larger than ${MAX_FILE_BYTES} bytes`);
    document = parse(text);
  } catch (error) {
    return failed(`--config: ${file} can't be read as YAML: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (document === null || document === undefined) return { values: {}, problems: [] };
  if (typeof document !== "object" || Array.isArray(document)) {
    return failed(`--config: ${file} must be a mapping such as "client-address: 127.0.0.1:7420"`);
  }
  const values: Partial<Record<OptionName, string>> = {};
  const problems: string[] = [];
  for (const [key, value] of Object.entries(document)) {
    const name = OPTION_NAMES.find((candidate) => OPTIONS[candidate].key === key);
    const text = scalarText(value);
    if (name === undefined) problems.push(`${key}: no option of this name (in ${file}); "config print" lists all`);
    else if (text === undefined) problems.push(`${key}: must be a single value (in ${file})`);
    else values[name] = text;
  }
  return { values, problems };
}

/** The members may be written as a mapping, id to address, or as a list of id=address. */
function scalarText(value: unknown): string | undefined {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
  if (value === null || typeof value !== "object") return undefined;
  if (Array.isArray(value)) return value.every((item) => typeof item === "string") ? value.join(",") : undefined;
  const pairs = Object.entries(value);
  return pairs.every(([, item]) => typeof item === "string")
    ? pairs.map(([id, item]) => `${id}=${item}`).join(",")
    : undefined;
}

function failed(problem: string): FileValues {
  return { values: {}, problems: [problem] };
}
