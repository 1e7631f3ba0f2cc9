import type { ProposalConditions } from "../../gen/raft/v1/raft_pb.js";
import type { Failure } from "../failure.ts";
import { MAX_CLIENT_ID_BYTES } from "../frame/codec.ts";
import { type Conditions, NO_CONDITIONS } from "../node/api.ts";
import { refuseShortText } from "./short-text.ts";
import { invalidArgument, sequenceFromWire, termFromWire, toWire, type Uint64 } from "./uint64.ts";

interface Fields {
  readonly clientId: string;
  readonly sequence: Uint64;
  readonly expectedTerm: Uint64;
}

/** With what a command is proposed. `path` is where the fields stand. Throws INVALID_ARGUMENT. */
export function conditionsFromWire({ clientId, sequence, expectedTerm }: Fields, path = ""): Conditions {
  const hasId = clientId !== "" || Number(sequence) !== 0;
  if (!hasId && Number(expectedTerm) === 0) return NO_CONDITIONS;
  const term = termFromWire(expectedTerm, `${path}expected_term`);
  if (!hasId) return { id: undefined, expectedTerm: term };
  const refusal = refuseClientId(clientId, `${path}client_id`);
  if (refusal !== undefined) throw refusal;
  if (Number(sequence) === 0) throw invalidArgument(`${path}sequence`, "must be 1 or above with a client_id");
  return { id: { clientId, sequence: sequenceFromWire(sequence, `${path}sequence`) }, expectedTerm: term };
}

function refuseClientId(clientId: string, field: string): Failure | undefined {
  if (clientId === "") return invalidArgument(field, "must be set with a sequence");
  return refuseShortText(clientId, MAX_CLIENT_ID_BYTES, field);
}

export function conditionsToWire({ id, expectedTerm }: Conditions): Omit<ProposalConditions, "$typeName"> {
  return { clientId: id?.clientId ?? "", sequence: toWire(id?.sequence ?? 0), expectedTerm: toWire(expectedTerm) };
}

/** The same, but undefined when no command has any. */
export function someConditions(conditions: readonly Conditions[]): readonly Conditions[] | undefined {
  return conditions.every((each) => each === NO_CONDITIONS) ? undefined : conditions;
}
