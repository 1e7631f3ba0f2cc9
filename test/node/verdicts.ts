import type { Host } from "../simulation/host.ts";
import { type Call, commandsOn } from "./world.ts";

/** How often each command is in the log. */
function timesIn(host: Host): Map<string, number> {
  const times = new Map<string, number>();
  for (const command of commandsOn(host)) times.set(command, (times.get(command) ?? 0) + 1);
  return times;
}

/** What may become of a call. */
export const FITTING = [
  "absent, as it was told",
  "there once, as it was told",
  "unknown, and not there",
  "unknown, and there once",
] as const;

export const [ABSENT, THERE, UNKNOWN_ABSENT, UNKNOWN_THERE] = FITTING;

/** How what each call was told fits the log of `host`. */
export function verdicts(host: Host, calls: ReadonlyMap<string, Call>): Set<string> {
  const all = timesIn(host);
  return new Set(
    [...calls].map(([command, { answers }]) => {
      const times = all.get(command) ?? 0;
      const [answer] = answers;
      if (answers.length === 1 && typeof answer === "number" && times === 1) return THERE;
      if (answers.length === 1 && answer === "OUTCOME_UNKNOWN" && times <= 1) {
        return times === 0 ? UNKNOWN_ABSENT : UNKNOWN_THERE;
      }
      if (answers.length === 1 && typeof answer === "string" && times === 0) return ABSENT;
      return `${command} is there ${times} times, and was told ${answers.join(", ")}`;
    }),
  );
}
