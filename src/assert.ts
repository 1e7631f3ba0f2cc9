/** A rule that the program relies on was found broken. The process logs it and exits 70: going on could lose data. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** An invariant: stays on in production. The message says what must hold and what was found. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}

/** Ends an exhaustive switch. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`);
}
