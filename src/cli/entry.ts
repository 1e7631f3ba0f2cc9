import type { EntryView } from "../grpc/views.ts";
import { type Format, print, printable, printJson } from "./output.ts";

/**
 * One entry, one line. In JSON the command is base64, with `text` beside it when it is printable, and `clientId` and
 * `sequence` when it was proposed with them. `committed` is left out where it goes without saying.
 */
export function printEntry(entry: EntryView, format: Format, committed?: boolean): void {
  if (format === "json") printJson({ ...entryJson(entry), ...(committed === undefined ? {} : { committed }) });
  else
    print(
      `${String(entry.index).padStart(8)}  ${String(entry.term).padStart(6)}  ${entry.type.padEnd(7)}  ${shown(entry)}`,
    );
}

/** The columns' names for `printEntry` in a table. */
export const ENTRY_HEAD = `${"INDEX".padStart(8)}  ${"TERM".padStart(6)}  ${"TYPE".padEnd(7)}  COMMAND`;

function entryJson({ index, term, type, command, id }: EntryView) {
  const text = printable(command);
  const base64 = Buffer.from(command).toString("base64");
  return { index, term, type, command: base64, ...(text === undefined ? {} : { text }), ...id };
}

function shown({ type, command }: EntryView): string {
  if (command.length === 0) return "";
  if (type !== "command") return Buffer.from(command).toString("hex");
  return printable(command) ?? `base64:${Buffer.from(command).toString("base64")}`;
}
