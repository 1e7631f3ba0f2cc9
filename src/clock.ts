/** The port to time: real in production, virtual in the simulation. */
export interface Clock {
  /** Monotonic, in milliseconds. */
  nowMs(): number;
  /** Calls `fire` once, after `delayMs`. Returns how to cancel. */
  setTimer(delayMs: number, fire: () => void): () => void;
  /** Calls `run` after what is being handled now, and after other input that has arrived by then. */
  defer(run: () => void): void;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  setTimer: (delayMs, fire) => {
    const timer = setTimeout(fire, delayMs);
    return () => clearTimeout(timer);
  },
  defer: (run) => {
    setImmediate(run);
  },
};
