import type { History } from "./history.ts";

/** The object that clients believe they talk to, one operation at a time. States are immutable and never undefined. */
export interface Model<State, Input, Output> {
  init(): State;
  /**
   * The state after the operation, or undefined if it can't have this output in this state. An output of undefined is
   * unconstrained: the outcome is unknown, and the operation takes effect here.
   */
  step(state: State, input: Input, output: Output | undefined): State | undefined;
  /** Equal for equal states only. Called for each configuration: cheap, please. */
  key(state: State): string | number;
  /** For people, on one line. */
  describe(input: Input, output: Output | undefined): string;
  /** Parts that can be checked each on its own (one per key), from a fresh state each. */
  partition?(history: History<Input, Output>): History<Input, Output>[];
  /**
   * Whether the operation leaves the state as it is, whatever that is. Such a one is placed as soon as it is allowed, with
   * no alternative tried, and is dropped if its outcome is unknown.
   */
  readOnly?(input: Input, output: Output | undefined): boolean;
  /** What the search may skip in this part. Without it, it tries everything. */
  shortcuts?(part: History<Input, Output>): Shortcuts<State, Input>;
}

/**
 * All three must be safe: a part that has an order at all must have one that obeys them. The last two are for unknown
 * operations: each may come at many places or nowhere, so their number goes into the exponent.
 */
export interface Shortcuts<State, Input> {
  /** As the model's `key`, but equal as well for states that no operation of this part can tell apart, now or later. */
  key(state: State): string | number;
  /** False if an unknown operation that leads from one state to the other may as well never take effect. */
  matters(before: State, after: State): boolean;
  /** Unknown operations of the same effect are interchangeable: they are tried in the order of their calls only. */
  effect(input: Input): string;
}
