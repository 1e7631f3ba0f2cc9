import type { History } from "./history.ts";
import type { Model } from "./model.ts";
import { isOneOf, isPrefixOfOneOf, type Sightings, shortcutsFrom } from "./sightings.ts";

interface Read {
  readonly kind: "read";
}

interface Write<Value> {
  readonly kind: "write";
  readonly value: Value;
}

/** Writes `value` if the state is `expected`. */
interface CompareAndSet<Value> {
  readonly kind: "compareAndSet";
  readonly expected: Value;
  readonly value: Value;
}

interface Append {
  readonly kind: "append";
  readonly value: string;
}

export type CellOutput<Value> =
  | { readonly kind: "found"; readonly value: Value }
  | { readonly kind: "done" }
  /** Of a compare-and-set: the state was not the expected one. */
  | { readonly kind: "mismatch" };

export type RegisterInput = Read | Write<number> | CompareAndSet<number>;
export type RegisterOutput = CellOutput<number>;

/** A number that starts as `initial`. Reads answer `found`, writes and compare-and-sets that wrote `done`. */
export function registerModel(initial = 0): Model<number, RegisterInput, RegisterOutput> {
  return {
    init: () => initial,
    step: stepCell,
    key: (state) => state,
    describe,
    readOnly,
    shortcuts: (part) => shortcutsFrom(sightings(part), isOneOf, overwritesWith),
  };
}

export type KeyValueInput = { readonly key: string } & (Read | Write<string> | CompareAndSet<string> | Append);
export type KeyValueOutput = CellOutput<string>;

/** Strings by key; a key that was never written has the empty one. A part is the history of one key. */
export const keyValueModel: Model<string, KeyValueInput, KeyValueOutput> = {
  init: () => "",
  step: (state, input, output) => {
    if (input.kind !== "append") return stepCell(state, input, output);
    return output === undefined || output.kind === "done" ? state + input.value : undefined;
  },
  key: (state) => state,
  describe: (input, output) => `${input.key}: ${describe(input, output)}`,
  partition: byKey,
  readOnly,
  shortcuts: (part) => {
    const appends = part.some(({ input }) => input.kind === "append");
    return shortcutsFrom(sightings(part), appends ? isPrefixOfOneOf : isOneOf, overwritesWith);
  },
};

function stepCell<Value>(
  state: Value,
  input: Read | Write<Value> | CompareAndSet<Value>,
  output: CellOutput<Value> | undefined,
): Value | undefined {
  switch (input.kind) {
    case "read":
      return output === undefined || (output.kind === "found" && output.value === state) ? state : undefined;
    case "write":
      return output === undefined || output.kind === "done" ? input.value : undefined;
    case "compareAndSet": {
      const kind = input.expected === state ? "done" : "mismatch";
      if (output !== undefined && output.kind !== kind) return undefined;
      return kind === "done" ? input.value : state;
    }
  }
}

type AnyInput<Value> = Read | Write<Value> | CompareAndSet<Value> | Append;

function readOnly<Value>({ kind }: AnyInput<Value>, output: CellOutput<Value> | undefined): boolean {
  return kind === "read" || output?.kind === "mismatch";
}

function overwritesWith<Value>(input: AnyInput<Value>): Value | undefined {
  return input.kind === "write" ? input.value : undefined;
}

function sightings<Value>(part: History<AnyInput<Value>, CellOutput<Value>>): Sightings<Value> {
  const found: Value[] = [];
  const missed: Value[] = [];
  for (const { input, output } of part) {
    if (output?.kind === "found") found.push(output.value);
    // One of an unknown outcome may have made a state of the expected one.
    if (input.kind === "compareAndSet") (output?.kind === "mismatch" ? missed : found).push(input.expected);
  }
  return { found, missed };
}

function byKey(history: History<KeyValueInput, KeyValueOutput>): History<KeyValueInput, KeyValueOutput>[] {
  return [...Map.groupBy(history, ({ input }) => input.key).values()];
}

function describe<Value>(input: AnyInput<Value>, output: CellOutput<Value> | undefined): string {
  return `${describeInput(input)} → ${output === undefined ? "?" : describeOutput(output)}`;
}

function describeInput<Value>(input: AnyInput<Value>): string {
  switch (input.kind) {
    case "read":
      return "read";
    case "compareAndSet":
      return `compareAndSet ${JSON.stringify(input.expected)} to ${JSON.stringify(input.value)}`;
    default:
      return `${input.kind} ${JSON.stringify(input.value)}`;
  }
}

function describeOutput<Value>(output: CellOutput<Value>): string {
  return output.kind === "found" ? JSON.stringify(output.value) : output.kind;
}
