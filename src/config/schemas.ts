import { z } from "zod";
import { parseAddress } from "./address.ts";

/** A voter of `--initial-cluster`. */
export interface InitialMember {
  readonly id: string;
  /** Where this node dials it, `host:port`. */
  readonly peerAddress: string;
}

const NODE_ID = /^[a-z0-9][a-z0-9-_.]{0,63}$/;
const NODE_ID_RULE = "a lower-case letter or a digit, then at most 63 of a-z 0-9 - _ .";
const ADDRESS_RULE = "host:port with a port from 1 to 65535, such as 127.0.0.1:7420 or [::1]:7420";

/** Raft works with more voters, but each adds to every commit; beyond this it is a mistake. */
const MAX_INITIAL_MEMBERS = 15;

export const nodeId = z.string().regex(NODE_ID, { error: `must be ${NODE_ID_RULE}` });

export const clusterName = z.string().regex(/^[\x21-\x7e]{1,64}$/, {
  error: "must be 1 to 64 printable ASCII characters without spaces",
});

export const address = z.string().refine((text) => parseAddress(text) !== undefined, {
  error: `must be ${ADDRESS_RULE}`,
});

export const path = z.string().min(1, { error: "must be a path" });

/** Empty for none. Unix limits a socket's path to 107 bytes. */
export const socketPath = z.string().refine((text) => Buffer.byteLength(text) <= 107, {
  error: "must be at most 107 bytes long, a limit of unix sockets",
});

export const flag = z
  .enum(["true", "false", "1", "0"], { error: "must be true or false" })
  .transform((text) => text === "true" || text === "1");

/** A whole number of `unit` within inclusive limits. */
export function wholeNumber(min: number, max: number, unit: string) {
  const error = `must be a whole number of ${unit} from ${min} to ${max}`;
  return z
    .string()
    .regex(/^[0-9]{1,15}$/, { error })
    .transform(Number)
    .refine((value) => value >= min && value <= max, { error });
}

/** The same, or `auto`, which is undefined. */
export function wholeNumberOrAuto(min: number, max: number, unit: string) {
  const error = `must be auto, or a whole number of ${unit} from ${min} to ${max}`;
  return z.union([z.literal("auto").transform(() => undefined), wholeNumber(min, max, unit)], { error });
}

/** `n1=host:port,n2=host:port`. Every part that is wrong is reported, not only the first. */
export const initialCluster = z.string().transform((text, context): readonly InitialMember[] => {
  const members: InitialMember[] = [];
  const complain = (message: string) => context.addIssue({ code: "custom", message });
  for (const part of text.split(",")) {
    const [id = "", peerAddress = "", ...rest] = part.trim().split("=");
    if (rest.length > 0 || peerAddress === "") {
      complain(`must be id=host:port,id=host:port,…; "${part}" is no id=host:port`);
    } else if (!NODE_ID.test(id)) {
      complain(`has an id "${id}", which must be ${NODE_ID_RULE}`);
    } else if (parseAddress(peerAddress) === undefined) {
      complain(`has for ${id} the address "${peerAddress}", which must be ${ADDRESS_RULE}`);
    } else {
      members.push({ id, peerAddress });
    }
  }
  for (const id of repeated(members.map((member) => member.id))) complain(`names ${id} more than once`);
  for (const one of repeated(members.map((member) => member.peerAddress))) complain(`has ${one} more than once`);
  if (members.length > MAX_INITIAL_MEMBERS) complain(`must have at most ${MAX_INITIAL_MEMBERS} members`);
  return members;
});

/** The values that occur more than once. */
export function repeated(values: readonly string[]): string[] {
  return [...new Set(values.filter((value, index) => values.indexOf(value) !== index))];
}
