import { textOf } from "../frame/codec.ts";
import { bytesPart, joined, numberPart, textPart } from "../frame/parts.ts";
import { VarintReader } from "../frame/varint.ts";
import type { NodeId } from "../raft/types.ts";

/** What a sidecar itself knows as of an entry: beside the application's state the other part of a snapshot. */
export interface OwnState extends LogState {
  /** The log's identity, 16 bytes. */
  readonly logId: Uint8Array;
  /** The configuration in effect. */
  readonly voters: readonly NodeId[];
}

/** What the log's entries have made, encoded. */
export interface LogState {
  readonly sessions: Uint8Array;
  readonly cursors: Uint8Array;
}

/** How it is encoded: this number, then each part with its length before it; of the voters their number first. */
const VERSION = 1;

export function encodeOwnState({ logId, voters, sessions, cursors }: OwnState): Uint8Array {
  const members = [numberPart(voters.length), ...voters.map(textPart)];
  return joined([numberPart(VERSION), bytesPart(logId), ...members, encodeLogState({ sessions, cursors })]);
}

/** Throws a RangeError when `bytes` aren't those of a state, or of one that only a newer build reads. */
export function decodeOwnState(bytes: Uint8Array): OwnState {
  const reader = new VarintReader(bytes, 0, bytes.length);
  const version = reader.read();
  if (version !== VERSION) throw new RangeError(`the state has version ${version}, this build reads ${VERSION}`);
  const logId = Uint8Array.from(reader.readBytes());
  const voters = Array.from({ length: reader.read() }, () => textOf(reader.readBytes()));
  return { logId, voters, ...readLogState(reader) };
}

export function encodeLogState({ sessions, cursors }: LogState): Uint8Array<ArrayBuffer> {
  return joined([bytesPart(cursors), bytesPart(sessions)]);
}

/** Throws a RangeError when `bytes` aren't those of a state. */
export function decodeLogState(bytes: Uint8Array): LogState {
  return readLogState(new VarintReader(bytes, 0, bytes.length));
}

function readLogState(reader: VarintReader): LogState {
  const cursors = reader.readBytes();
  const sessions = reader.readBytes();
  if (reader.at !== reader.end) throw new RangeError("bytes follow the sessions");
  return { sessions, cursors };
}
