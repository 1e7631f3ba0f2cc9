import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ForwardRequestSchema, ForwardResponseSchema } from "../../gen/raft/v1/raft_pb.js";
import { Failure } from "../../src/failure.ts";
import {
  fromForwardRequest,
  fromForwardResponse,
  toForwardRequest,
  toForwardResponse,
} from "../../src/grpc/forward-codec.ts";
import { NO_CONDITIONS } from "../../src/node/api.ts";
import { sequenceTooOld, termChanged } from "../../src/node/failures.ts";
import type { ForwardOutcome, ForwardRequest } from "../../src/node/transport.ts";
import { decodeSubscriptionOp, encodeSubscriptionOp } from "../../src/session/subscription.ts";

const commands = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)];

const PLAIN = { conditions: undefined, stopOnError: false, isSubscription: false };
const opened = encodeSubscriptionOp({ kind: "open", name: "reports", newCursor: 7 });

function overTheWire(request: ForwardRequest): ForwardRequest {
  const bytes = toBinary(ForwardRequestSchema, toForwardRequest(7n, request));
  return fromForwardRequest(fromBinary(ForwardRequestSchema, bytes));
}

function answerOverTheWire(outcome: ForwardOutcome): ForwardOutcome {
  const bytes = toBinary(ForwardResponseSchema, toForwardResponse(7n, outcome));
  return fromForwardResponse(fromBinary(ForwardResponseSchema, bytes));
}

describe("a forwarded request arrives as it was sent", () => {
  it.each<[string, ForwardRequest]>([
    ["a barrier", { kind: "readIndex", term: 3 }],
    ["commands alone", { kind: "propose", term: 3, commands, ...PLAIN }],
    [
      "what a durable subscriber does",
      { kind: "propose", term: 3, commands: [opened], ...PLAIN, isSubscription: true },
    ],
    [
      "commands of which some have an id or a term",
      {
        kind: "propose",
        term: 3,
        commands,
        conditions: [
          NO_CONDITIONS,
          { id: { clientId: "c", sequence: 2 ** 53 - 1 }, expectedTerm: 0 },
          { id: { clientId: "c", sequence: 1 }, expectedTerm: 5 },
        ],
        stopOnError: true,
        isSubscription: false,
      },
    ],
  ])("%s", (_what, request) => {
    expect(overTheWire(request)).toEqual(request);
  });

  it.each([
    ["several", [opened, opened], "proposals.commands"],
    ["a command", [Uint8Array.of(9)], "proposals.commands[0]"],
  ])("but %s of a durable subscriber are refused", (_what, given, field) => {
    const request = create(ForwardRequestSchema, {
      id: 1n,
      term: 3n,
      request: { case: "proposals", value: { commands: given, subscription: true } },
    });
    expect(() => fromForwardRequest(request)).toThrow(
      expect.objectContaining({ violations: [expect.objectContaining({ field })] }),
    );
  });

  it("whatever bytes of a durable subscriber come are one of its ops, or refused as INVALID_ARGUMENT", () => {
    const anyCommand = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.uint8Array({ maxLength: 40 }).map((rest) => Uint8Array.of(1, 3, 97, 98, 99, ...rest)),
      fc.uint8Array({ maxLength: 40 }).map((rest) => Uint8Array.of(2, 1, 1, 97, ...rest)),
    );
    fc.assert(
      fc.property(fc.array(anyCommand, { maxLength: 2 }), (given) => {
        const value = { commands: given, subscription: true };
        const request = create(ForwardRequestSchema, { term: 3n, request: { case: "proposals", value } });
        try {
          const taken = fromForwardRequest(request);
          expect(taken).toMatchObject({ kind: "propose", isSubscription: true });
          if (taken.kind === "propose") expect(taken.commands.map(decodeSubscriptionOp)).toHaveLength(1);
        } catch (error) {
          expect(error).toMatchObject({ reason: "INVALID_ARGUMENT" });
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ["conditions for some commands only", [{ expectedTerm: 1n }], "proposals.conditions"],
    ["half an id", [{ clientId: "c" }, {}, {}], "proposals.conditions[0].sequence"],
    ["a term out of range", [{}, {}, { expectedTerm: 2n ** 63n }], "proposals.conditions[2].expected_term"],
  ])("but %s are refused with the field's name", (_what, conditions, field) => {
    const request = create(ForwardRequestSchema, {
      id: 1n,
      term: 3n,
      request: { case: "proposals", value: { commands, conditions } },
    });
    expect(() => fromForwardRequest(request)).toThrow(
      expect.objectContaining({ violations: [expect.objectContaining({ field })] }),
    );
  });
});

describe("its outcome comes back as it was", () => {
  it.each<[string, ForwardOutcome]>([
    ["a barrier", { kind: "readIndex", index: 9, term: 3 }],
    ["commands in a row", { kind: "committed", first: { index: 9, term: 3 } }],
    [
      "each command's own",
      {
        kind: "each",
        outcomes: [
          { index: 9, term: 3, duplicate: false },
          { index: 2, term: 1, duplicate: true },
          sequenceTooOld({ clientId: "c", sequence: 1 }, 4),
          termChanged(2, 3),
        ],
      },
    ],
    ["a failure", { kind: "failed", failure: new Failure("OVERLOADED", "too much", { retryAfterMs: 100 }) }],
  ])("%s", (_what, outcome) => {
    expect(answerOverTheWire(outcome)).toEqual(outcome);
  });
});
