import type { CompletedOperation, History, Operation } from "./history.ts";
import type { Model } from "./model.ts";

/** A place from which no completed operation leads on. */
export interface DeadEnd<State, Input, Output> {
  /** In the order found, with the unknown operations that took effect in it. */
  readonly placed: History<Input, Output>;
  readonly state: State;
  /** The completed operations of which one would have to come next; the first to return is first. */
  readonly stuck: readonly CompletedOperation<Input, Output>[];
  /** How many completed operations have no place. */
  readonly left: number;
}

/** What comes earlier seldom helps. */
const LINES_SHOWN = 12;

/** Tells a person how far the search came and where it stuck. */
export function explain<State, Input, Output>(
  model: Model<State, Input, Output>,
  { placed, state, stuck, left }: DeadEnd<State, Input, Output>,
): string {
  const line = (operation: Operation<Input, Output>) => `  ${describe(model, operation)}`;
  const skipped = Math.max(0, placed.length - LINES_SHOWN);
  return [
    `not linearizable: completed operations without a place: ${left}; the longest order found:`,
    ...(skipped > 0 ? [`  (${skipped} before)`] : []),
    ...placed.slice(skipped).map(line),
    `state: ${model.key(state)}`,
    "one of these would have to come next, the first one before its return, and none can:",
    ...stuck.map(line),
  ].join("\n");
}

function describe<State, Input, Output>(
  model: Model<State, Input, Output>,
  { client, call, return: returned, input, output }: Operation<Input, Output>,
): string {
  return `[${call}, ${returned ?? "?"}] ${client}: ${model.describe(input, output)}`;
}
