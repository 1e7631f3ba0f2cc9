/** What makes the space finite. Everything else that can happen to three cores is explored. */
export interface Bounds {
  /** No node campaigns for a later term. At most 3. */
  readonly maxTerm: number;
  /** Commands that clients propose in all; the log's identity and the no-ops come on top. */
  readonly proposals: number;
  /** Election timers that fire, in all. */
  readonly timeouts: number;
  readonly crashes: number;
  readonly duplicates: number;
  /** At most 4. What is sent beyond is lost, or something older is. */
  readonly inFlight: number;
  /** A leader sends no heartbeat that would be a member's request beyond this number. */
  readonly requests: number;
  /**
   * Nor anything else that would be one beyond this: where the network loses the same request again and again, the search
   * for where the logs match goes on for ever.
   */
  readonly allRequests: number;
  readonly electionTimeoutMinTicks: number;
  /** Every timeout is this long: when it fires is the explorer's choice anyway, clocks may run at any speed. */
  readonly electionTimeoutMaxTicks: number;
}

/** One election in one term, of which nothing comes. */
const LEAST: Bounds = {
  maxTerm: 1,
  proposals: 0,
  timeouts: 1,
  crashes: 0,
  duplicates: 0,
  inFlight: 2,
  requests: 2,
  allRequests: 4,
  electionTimeoutMinTicks: 1,
  electionTimeoutMaxTicks: 2,
};

/** Two candidates in one term: small enough for a test. */
export const RIVALS: Bounds = { ...LEAST, timeouts: 2 };

/**
 * In the order in which `make model` explores them. Each but the last is wide in one direction and has an end that is
 * reached; the last is what the issue asks for, and goes as far as time and memory let it.
 */
export const BOUNDS = {
  rivals: { ...RIVALS, inFlight: 4 },
  narrow: { ...LEAST, maxTerm: 2, proposals: 1, timeouts: 2, crashes: 1, duplicates: 1, inFlight: 1 },
  elections: { ...LEAST, maxTerm: 2, timeouts: 3, requests: 1, allRequests: 1 },
  succession: { ...LEAST, maxTerm: 2, timeouts: 2, requests: 3 },
  replication: { ...LEAST, proposals: 1, crashes: 1, duplicates: 1 },
  full: {
    ...LEAST,
    maxTerm: 2,
    proposals: 2,
    timeouts: 3,
    crashes: 1,
    duplicates: 1,
    inFlight: 4,
    requests: 3,
    allRequests: 5,
  },
} as const satisfies Record<string, Bounds>;
