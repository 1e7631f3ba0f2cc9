import type { History, Operation } from "./history.ts";
import type { KeyValueInput, KeyValueOutput, RegisterInput, RegisterOutput } from "./models.ts";

export type Random = (bound: number) => number;
export type KeyValueOperation = Operation<KeyValueInput, KeyValueOutput>;

export interface Shape {
  readonly operations: number;
  readonly clients: number;
  readonly keys: number;
  /** How many operations never return, about. Half of these never take effect, the others some time. */
  readonly unknown: number;
  /** How many values are written; undefined: each write has one of its own. */
  readonly values: number | undefined;
  readonly kinds: readonly KeyValueInput["kind"][];
  /** An operation takes up to twice this, and its client then waits for as long at most. */
  readonly delay: number;
}

interface Draft {
  readonly client: string;
  readonly call: number;
  readonly effect: number;
  readonly return: number | undefined;
  readonly input: KeyValueInput;
}

/** What clients of an atomic store see: each operation takes effect at one moment between its call and its return. */
export function simulateStore(random: Random, shape: Shape): KeyValueOperation[] {
  const freeAt = Array.from({ length: shape.clients }, () => random(shape.delay));
  const drafts: Draft[] = [];
  for (let i = 0; i < shape.operations; i++) {
    const client = random(shape.clients);
    const call = freeAt[client] ?? 0;
    const unknown = random(shape.operations) < shape.unknown;
    const late = unknown ? random(2) * random(shape.delay * 20) : 0;
    const effect = unknown && random(2) === 0 ? Number.POSITIVE_INFINITY : call + random(shape.delay) + late;
    const returned = (unknown ? call + shape.delay : effect) + random(shape.delay);
    freeAt[client] = returned + 1 + random(shape.delay);
    const input = drawInput(random, shape, i);
    drafts.push({ client: `c${client}`, call, effect, return: unknown ? undefined : returned, input });
  }
  const store = new Map<string, string>();
  const done = drafts.sort((a, b) => a.effect - b.effect || 0).map((draft) => takeEffect(store, draft));
  return done.sort((a, b) => a.call - b.call);
}

function drawInput(random: Random, { keys, kinds, values }: Shape, number: number): KeyValueInput {
  const key = `k${random(keys)}`;
  const draw = () => String(1 + (values === undefined ? number : random(values)));
  const kind = kinds[random(kinds.length)] ?? "read";
  if (kind === "read") return { key, kind };
  if (kind !== "compareAndSet") return { key, kind, value: draw() };
  const expected = values === undefined ? String(1 + random(number + 1)) : String(1 + random(values));
  return { key, kind, expected, value: draw() };
}

function takeEffect(store: Map<string, string>, { client, call, return: returned, input }: Draft): KeyValueOperation {
  const before = store.get(input.key) ?? "";
  const output = answer(before, input);
  if (input.kind === "append") store.set(input.key, before + input.value);
  else if (input.kind !== "read" && output.kind === "done") store.set(input.key, input.value);
  if (returned === undefined) return { client, call, input, return: undefined, output: undefined };
  return { client, call, input, return: returned, output };
}

function answer(state: string, input: KeyValueInput): KeyValueOutput {
  if (input.kind === "read") return { kind: "found", value: state };
  return { kind: input.kind === "compareAndSet" && input.expected !== state ? "mismatch" : "done" };
}

/** Changes one thing: an answer, a return, or whether one came. What comes out may have an order or not. */
export function disturb(random: Random, history: readonly KeyValueOperation[]): KeyValueOperation[] {
  const chosen = random(history.length);
  return history.map((operation, i) => {
    if (i !== chosen) return operation;
    const { client, call, input } = operation;
    const returned = operation.return ?? call + random(6);
    if (random(3) === 0 && operation.output !== undefined) {
      return { client, call, input, return: call + random(returned - call + 1), output: operation.output };
    }
    return { client, call, input, return: returned, output: drawOutput(random, input, history) };
  });
}

function drawOutput(random: Random, input: KeyValueInput, history: readonly KeyValueOperation[]): KeyValueOutput {
  if (input.kind === "compareAndSet") return { kind: random(2) === 0 ? "done" : "mismatch" };
  if (input.kind !== "read") return { kind: "done" };
  const others = history.map(({ input: other }) => ("value" in other ? other.value : ""));
  return { kind: "found", value: others[random(others.length)] ?? "" };
}

/** A history of one key, without appends, as that of a register that starts as 0. */
export function asRegister(
  history: History<KeyValueInput, KeyValueOutput>,
): Operation<RegisterInput, RegisterOutput>[] {
  return history.map(({ input, output, ...rest }) => {
    const registerInput = asRegisterInput(input);
    if (rest.return === undefined || output === undefined) {
      return { ...rest, return: undefined, input: registerInput, output: undefined };
    }
    const registerOutput: RegisterOutput =
      output.kind === "found" ? { kind: "found", value: Number(output.value) } : output;
    return { ...rest, return: rest.return, input: registerInput, output: registerOutput };
  });
}

function asRegisterInput(input: KeyValueInput): RegisterInput {
  switch (input.kind) {
    case "read":
      return { kind: "read" };
    case "compareAndSet":
      return { kind: "compareAndSet", expected: Number(input.expected), value: Number(input.value) };
    default:
      return { kind: "write", value: Number(input.value) };
  }
}
