/**
 * What a client asked for and was told. Times are integers that order the events of one history; only their order counts.
 * Of two operations, one precedes the other if it returned strictly before the other was called: events of the same time
 * are concurrent. A recorder that numbers its events (instead of taking the virtual time in ms) loses no order by that.
 *
 * An operation that certainly had no effect (refused before it was proposed) is no part of a history: leave it out.
 */
export type Operation<Input, Output> = CompletedOperation<Input, Output> | UnknownOperation<Input>;

interface Call<Input> {
  readonly client: string;
  readonly call: number;
  readonly input: Input;
}

export interface CompletedOperation<Input, Output> extends Call<Input> {
  readonly return: number;
  readonly output: Output;
}

/**
 * Never returned, or returned without saying what became of it (a deadline, a lost connection): it may take effect at any
 * time after its call, even after later operations of the same client, or never.
 */
export interface UnknownOperation<Input> extends Call<Input> {
  readonly return: undefined;
  readonly output: undefined;
}

export type History<Input, Output> = readonly Operation<Input, Output>[];
