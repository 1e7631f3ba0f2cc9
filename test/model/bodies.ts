import { assert } from "../../src/assert.ts";
import { encodeFrame } from "../../src/frame/codec.ts";
import { faultOf } from "../../src/raft/fault.ts";
import type { Message } from "../../src/raft/message.ts";
import { type EntryId, EntryType, type Frame, type NodeId } from "../../src/raft/types.ts";

export const LOG_ID = new Uint8Array(16).fill(7);
const COMMAND = Uint8Array.of(1);

const frames = new Map<string, Frame>();

/** The entry of this place and type. There is one of each, so that entries are equal when they are identical. */
function frameOf({ index, term }: EntryId, type: EntryType): Frame {
  const key = `${index} ${term} ${type}`;
  let frame = frames.get(key);
  if (frame === undefined) {
    const payload = type === EntryType.command ? COMMAND : type === EntryType.logId ? LOG_ID : new Uint8Array(0);
    frame = encodeFrame({ index, term }, type, [payload]);
    frames.set(key, frame);
  }
  return frame;
}

/** For the core: encodes, and holds the frames to one entry each. */
export function encodeSingle(first: EntryId, type: EntryType, payloads: readonly Uint8Array[]): Frame {
  assert(payloads.length === 1, "the model proposes one command at a time");
  return frameOf(first, type);
}

export function proposal(): Uint8Array {
  return COMMAND;
}

/** Nobody may make, cut or change an entry on its way. */
export function assertGenuine(frame: Frame): void {
  assert(
    frame === frames.get(`${frame.first} ${frame.term} ${frame.type}`),
    `the entry ${frame.first} of term ${frame.term} was changed`,
  );
}

/**
 * What messages say, apart from who says it to whom, numbered as it comes up. A sequence stands here for the number
 * that it has among its leader's requests to this member: see `LocalNode`.
 */
export class Bodies {
  readonly #numbers = new Map<string, number>();
  readonly #messages: { readonly b: Message; readonly c: Message }[] = [];

  get count(): number {
    return this.#messages.length;
  }

  numberOf(message: Message): number {
    const key = keyOf(message);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    assert(faultOf(message) === undefined, `a message with a fault is sent: ${faultOf(message)}`);
    if (message.kind === "appendEntries") message.frames.forEach(assertGenuine);
    const number = this.#messages.length;
    this.#numbers.set(key, number);
    this.#messages.push({ b: { ...message, from: "b", to: "a" }, c: { ...message, from: "c", to: "a" } });
    return number;
  }

  isRequestVote(number: number): boolean {
    return this.message(number, "b").kind === "requestVote";
  }

  /** As "a" receives it. */
  message(number: number, from: NodeId): Message {
    const message = this.#messages[number];
    assert(message !== undefined, `there is no message ${number}`);
    return from === "b" ? message.b : message.c;
  }
}

function keyOf(message: Message): string {
  const { from: _from, to: _to, ...body } = message;
  if (body.kind !== "appendEntries") return JSON.stringify(body);
  return JSON.stringify({ ...body, frames: body.frames.map(({ first, term, type }) => [first, term, type]) });
}

/** For people. */
export function describe(message: Message): string {
  const { kind, from: _from, to: _to, ...body } = message;
  const text = JSON.stringify("frames" in body ? { ...body, frames: body.frames.map(({ term }) => term) } : body);
  return `${kind} ${text.replaceAll('"', "")}`;
}
