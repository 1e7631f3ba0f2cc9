import { type ServiceError, status } from "@grpc/grpc-js";
import type { Failure } from "../failure.ts";
import { failureFrom } from "./status.ts";

/** A call to a node failed. */
export class CallFailure extends Error {
  override readonly name = "CallFailure";
  /** The status's name, such as UNAVAILABLE. */
  readonly code: string;
  /** What the node said; undefined when the status is not one of ours, which leaves the outcome unknown. */
  readonly failure: Failure | undefined;
  /** Whether the node may be gone, rather than have refused. */
  readonly unreachable: boolean;

  constructor(error: ServiceError) {
    super(shortened(error.details === "" ? error.message : error.details), { cause: error });
    this.code = status[error.code] ?? String(error.code);
    this.failure = failureFrom(error);
    const gone = error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED;
    this.unreachable = this.failure === undefined && gone;
  }
}

/** grpc-js wraps the one interesting part of a failed dial. */
function shortened(details: string): string {
  return /Last error: (?:Error: )?(.*?)\.? Resolution note:/.exec(details)?.[1] ?? details;
}
