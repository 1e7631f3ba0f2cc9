import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ProposeErrorSchema,
  type ProposeItem,
  type ProposeRequest,
  ProposeRequestSchema,
  ProposeResponseSchema,
  type ProposeStreamRequest,
  ProposeStreamRequestSchema,
  ProposeStreamResponseSchema,
} from "../../gen/raft/v1/log_pb.js";
import { Failure } from "../failure.ts";
import type { CommandOutcome } from "../node/api.ts";
import { asBuffer, type Codec } from "./definition.ts";
import { delimitedSize, OrderedFields, uintFieldSize, writeDelimitedHead, writeUintField } from "./ordered-fields.ts";
import { toProposeError } from "./propose-error.ts";
import { fewerBigints, invalidArgument, type Uint64 } from "./uint64.ts";

/**
 * The messages that each command costs one of, in a server's hands. What clients usually send is read by hand, and the
 * rest by the generated code. A test holds all of it against that, byte for byte.
 */

/** What a Propose asks for. */
export interface Proposal {
  /** A view of the message. */
  readonly command: Uint8Array;
  readonly clientId: string;
  readonly sequence: Uint64;
  readonly expectedTerm: Uint64;
}

/** What one item of a ProposeStream asks for. */
export interface ItemProposal extends Proposal {
  readonly requestId: Uint64;
}

export interface ItemProposals {
  readonly items: readonly ItemProposal[];
  readonly stopOnError: boolean;
}

export interface ItemResult {
  readonly requestId: Uint64;
  readonly outcome: CommandOutcome;
}

/** Of one message. */
export const MAX_ITEMS_PER_MESSAGE = 4_096;

/** A command's place in the log. */
type Committed = Exclude<CommandOutcome, Failure>;

/** The codecs by message type, for a server's `serviceDefinition`. */
export const proposeCodecs: Readonly<Record<string, Codec>> = {
  [ProposeRequestSchema.typeName]: {
    serialize: (value: ProposeRequest) => asBuffer(toBinary(ProposeRequestSchema, value)),
    deserialize: decodeProposal,
  },
  [ProposeResponseSchema.typeName]: {
    serialize: encodeCommitted,
    deserialize: (bytes) => fromBinary(ProposeResponseSchema, bytes),
  },
  [ProposeStreamRequestSchema.typeName]: {
    serialize: (value: ProposeStreamRequest) => asBuffer(toBinary(ProposeStreamRequestSchema, value)),
    deserialize: decodeItemProposals,
  },
  [ProposeStreamResponseSchema.typeName]: {
    serialize: encodeItemResults,
    deserialize: (bytes) => fromBinary(ProposeStreamResponseSchema, bytes),
  },
};

/** A ProposeRequest. Throws when the bytes are none. */
export function decodeProposal(bytes: Uint8Array): Proposal {
  const fields = new OrderedFields(bytes);
  const proposal = {
    command: fields.bytes(1),
    clientId: fields.text(2),
    sequence: fields.uint(3),
    expectedTerm: fields.uint(4),
  };
  return fields.isDone ? proposal : proposalOf(fromBinary(ProposeRequestSchema, bytes));
}

/** A ProposeStreamRequest. Throws when the bytes are none, and before it reads far more items than a message may have. */
export function decodeItemProposals(bytes: Uint8Array): ItemProposals {
  const fields = new OrderedFields(bytes);
  const items: ItemProposal[] = [];
  for (let item = fields.message(1); item !== undefined; item = fields.message(1)) {
    items.push({
      requestId: item.uint(1),
      command: item.bytes(2),
      clientId: item.text(3),
      sequence: item.uint(4),
      expectedTerm: item.uint(5),
    });
    // Millions of empty ones fit in a message.
    if (items.length > MAX_ITEMS_PER_MESSAGE) throw tooManyItems();
    if (!item.isDone) return itemProposalsOf(fromBinary(ProposeStreamRequestSchema, bytes));
  }
  const stopOnError = fields.uint(2) !== 0;
  return fields.isDone ? { items, stopOnError } : itemProposalsOf(fromBinary(ProposeStreamRequestSchema, bytes));
}

function tooManyItems(): Failure {
  return invalidArgument("items", `must be 1 to ${MAX_ITEMS_PER_MESSAGE} a message, are more`);
}

function proposalOf({ command, clientId, sequence, expectedTerm }: ProposeRequest | ProposeItem): Proposal {
  return { command, clientId, sequence: fewerBigints(sequence), expectedTerm: fewerBigints(expectedTerm) };
}

function itemProposalsOf({ items, stopOnError }: ProposeStreamRequest): ItemProposals {
  return {
    items: items.map((item) => ({ ...proposalOf(item), requestId: fewerBigints(item.requestId) })),
    stopOnError,
  };
}

/** A ProposeResponse. */
export function encodeCommitted(committed: Committed): Buffer {
  const out = Buffer.allocUnsafe(committedSize(committed));
  writeCommitted(out, 0, committed);
  return out;
}

/** A ProposeStreamResponse. What a whole batch failed with is encoded once: an overloaded node must not do more than others. */
export function encodeItemResults(results: readonly ItemResult[]): Buffer {
  const encoded = new Map<Failure, Uint8Array>();
  const errors = results.map(({ outcome }) => (outcome instanceof Failure ? encodeError(outcome, encoded) : undefined));
  const sizes = results.map(({ requestId, outcome }, i) => {
    const outcomeSize = outcome instanceof Failure ? (errors[i]?.length ?? 0) : committedSize(outcome);
    return uintFieldSize(requestId) + delimitedSize(outcomeSize);
  });
  const out = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + delimitedSize(size), 0));
  let at = 0;
  for (const [i, { requestId, outcome }] of results.entries()) {
    at = writeDelimitedHead(out, at, 1, sizes[i] ?? 0);
    at = writeUintField(out, at, 1, requestId);
    at = outcome instanceof Failure ? writeError(out, at, errors[i]) : writeCommittedField(out, at, outcome);
  }
  return out;
}

function encodeError(failure: Failure, encoded: Map<Failure, Uint8Array>): Uint8Array {
  let bytes = encoded.get(failure);
  if (bytes === undefined) {
    bytes = toBinary(ProposeErrorSchema, toProposeError(failure));
    encoded.set(failure, bytes);
  }
  return bytes;
}

function writeError(out: Uint8Array, offset: number, error: Uint8Array = new Uint8Array(0)): number {
  const at = writeDelimitedHead(out, offset, 3, error.length);
  out.set(error, at);
  return at + error.length;
}

function writeCommittedField(out: Uint8Array, offset: number, committed: Committed): number {
  return writeCommitted(out, writeDelimitedHead(out, offset, 2, committedSize(committed)), committed);
}

function committedSize({ index, term, duplicate }: Committed): number {
  return uintFieldSize(index) + uintFieldSize(term) + uintFieldSize(Number(duplicate));
}

function writeCommitted(out: Uint8Array, offset: number, { index, term, duplicate }: Committed): number {
  const at = writeUintField(out, writeUintField(out, offset, 1, index), 2, term);
  return writeUintField(out, at, 3, Number(duplicate));
}
