/** The exit codes, fixed: scripts rely on them. */
export const EXIT = {
  ok: 0,
  /** Refused or failed. */
  failed: 1,
  /** Wrong usage. */
  usage: 2,
  /** The cluster can't be reached. */
  unreachable: 3,
  /** A broken invariant. */
  invariant: 70,
  /** The node's own storage failed or is damaged. */
  storage: 74,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends a command with a message for people. An empty message was said already. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly exitCode: ExitCode;
  /** What to do about it; undefined when the message says it. */
  readonly advice: string | undefined;

  constructor(exitCode: ExitCode, message: string, advice?: string, cause?: unknown) {
    super(message, { cause });
    this.exitCode = exitCode;
    this.advice = advice;
  }
}
