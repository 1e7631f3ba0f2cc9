/** What a process did to the files under the recorded root, once it had succeeded. Paths are as the process gave them. */
export type Operation =
  | { readonly kind: "createFile" | "createDirectory"; readonly inode: number; readonly path: string }
  | { readonly kind: "remove"; readonly path: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "write"; readonly inode: number; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: "truncate"; readonly inode: number; readonly size: number }
  | { readonly kind: "sync"; readonly inode: number };

export interface JournalRecord {
  readonly operation: Operation;
  /** The journal's size with this record. */
  readonly end: number;
}

/** Kind and length (uint32), inode and offset (uint64), in the machine's order of bytes. */
const HEADER_BYTES = 24;

/** What recorder.c wrote. */
export function parseJournal(journal: Buffer): JournalRecord[] {
  const records: JournalRecord[] = [];
  for (let at = 0; at < journal.length; ) {
    const end = at + HEADER_BYTES + journal.readUInt32LE(at + 4);
    if (end > journal.length) throw new Error("the journal is cut off");
    records.push({ operation: parseRecord(journal.subarray(at, end)), end });
    at = end;
  }
  return records;
}

function parseRecord(record: Buffer): Operation {
  const inode = Number(record.readBigUInt64LE(8));
  const at = Number(record.readBigUInt64LE(16));
  const bytes = record.subarray(HEADER_BYTES);
  const kind = record.readUInt32LE(0);
  switch (kind) {
    case 1:
      return { kind: "createFile", inode, path: bytes.toString() };
    case 2:
      return { kind: "createDirectory", inode, path: bytes.toString() };
    case 3:
      return { kind: "remove", path: bytes.toString() };
    case 4:
      return { kind: "write", inode, at, bytes };
    case 5:
      return { kind: "truncate", inode, size: at };
    case 6:
      return { kind: "sync", inode };
    case 7: {
      const [from = "", to = ""] = bytes.toString().split("\0");
      return { kind: "rename", from, to };
    }
    default:
      throw new Error(`the journal has a record of kind ${kind}`);
  }
}
