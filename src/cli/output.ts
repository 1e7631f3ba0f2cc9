import { Option } from "commander";

export type Format = "table" | "json";

/** `-o table|json`. */
export function formatOption(): Option {
  return new Option("-o, --output <format>", "for people or for programs").choices(["table", "json"]).default("table");
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

/** Columns as wide as their widest cell, two spaces apart. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** A command as text when it is printable UTF-8, else undefined. */
export function printable(command: Uint8Array): string | undefined {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(command);
  } catch {
    return undefined;
  }
  return /^[^\p{Cc}\p{Cs}\p{Co}\p{Cn}]*$/u.test(text) ? text : undefined;
}
