/** When proposals are due, by their numbers from 0. All times are in milliseconds of one clock. */
export interface Schedule {
  /** When this one is due. Rises with the number. */
  dueMs(number: number, nowMs: number): number;
  /** How many are due before a time, whatever became of them. */
  countBefore(timeMs: number): number;
}

/** Each is due when it can be sent: answers set the pace, and none is ever owed. */
export const closedLoop: Schedule = { dueMs: (_, nowMs) => nowMs, countBefore: () => 0 };

/** At even moments from `startMs` on, whatever became of earlier ones. */
export function openLoop(startMs: number, ratePerSecond: number): Schedule {
  const dueMs = (number: number): number => startMs + (number * 1_000) / ratePerSecond;
  return {
    dueMs,
    countBefore: (timeMs) => {
      if (timeMs <= startMs) return 0;
      let count = Math.ceil(((timeMs - startMs) * ratePerSecond) / 1_000);
      // Rounding may have taken it past one, or short of it.
      while (dueMs(count) < timeMs) count++;
      while (dueMs(count - 1) >= timeMs) count--;
      return count;
    },
  };
}
